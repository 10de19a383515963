import CLuaBridge
import Glibc
import RiffleIO
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
        action.__sigaction_handler.sa_handler = { _ in
            if Interrupt.requested, Signals.exitsOnSecond {
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

    /// Makes signals that end the process remove its unfinished files. Signals that are ignored (nohup) stay ignored.
    package static func removeUnfinishedFiles() {
        PartFile.prepareForSignals()
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
