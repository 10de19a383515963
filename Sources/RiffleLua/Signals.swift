import CLuaBridge
import Glibc
import RiffleIO
import RiffleRuns
import RiffleTensor

/// The handlers of signals: Ctrl-C stops the computation, and signals that end the process leave no file half written.
package enum Signals {
    nonisolated(unsafe) private static var exitsOnSecond = false
    /// The terminal's modes from before the session began to edit lines.
    nonisolated(unsafe) private static var terminal: termios?

    /// Makes Ctrl-C stop the computation.
    /// - Parameter thenExits: whether a second interrupt, before the computation has stopped, ends the process.
    package static func interruptsComputation(thenExits: Bool) {
        exitsOnSecond = thenExits
        Interrupt.clear()
        var action = sigaction()
        // Without SA_RESTART, so that a signal ends a read from the terminal.
        action.__sigaction_handler.sa_handler = { number in
            if Signals.exitsOnSecond, Signals.asksRun(number) { return }
            // A run that was asked before finishes its step; a second interrupt does not wait for that.
            if Signals.exitsOnSecond, StopRequest.signal != 0 || Interrupt.requested {
                OpenRuns.noteEnd(by: number)
                PartFile.removeAll()
                _exit(130)
            }
            Interrupt.request()
            rlua_interrupt()
        }
        sigaction(SIGINT, &action, nil)
    }

    /// Makes signals that end the process restore the terminal's present modes.
    package static func keepTerminal() {
        var modes = termios()
        if tcgetattr(0, &modes) == 0 { terminal = modes }
    }

    /// Asks a run whose loop goes on to finish its step, write a checkpoint and end.
    /// - Returns: false where there is no such run, or it was asked before.
    private static func asksRun(_ number: Int32) -> Bool {
        guard StopRequest.ask(number) else { return false }
        let note: StaticString = "\nriffle: finishing this step, then a checkpoint; a second Ctrl-C stops at once\n"
        _ = write(2, note.utf8Start, note.utf8CodeUnitCount)
        return true
    }

    /// Makes signals that end the process remove its unfinished files. Signals that are ignored (nohup) stay ignored.
    package static func removeUnfinishedFiles() {
        PartFile.prepareForSignals()
        OpenRuns.prepareForSignals()
        // A file that passes the size limit becomes an error of the write, which is reported there.
        signal(SIGXFSZ, SIG_IGN)
        for number in [SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU] {
            var action = sigaction()
            sigaction(number, nil, &action)
            if unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
                == unsafeBitCast(SIG_IGN, to: Int.self)
            {
                continue
            }
            action.__sigaction_handler.sa_handler = { number in
                if [SIGTERM, SIGHUP, SIGUSR1].contains(number), Signals.asksRun(number) { return }
                OpenRuns.noteEnd(by: number)
                PartFile.removeAll()
                if var modes = Signals.terminal {
                    tcsetattr(0, TCSANOW, &modes)
                    // Undoes the prompt's request to mark pastes.
                    let unmarked: StaticString = "\u{1B}[?2004l"
                    _ = write(1, unmarked.utf8Start, unmarked.utf8CodeUnitCount)
                }
                signal(number, SIG_DFL)
                raise(number)
            }
            sigaction(number, &action, nil)
        }
    }
}
