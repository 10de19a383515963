import CLuaBridge
import Glibc
import RiffleIO
import RiffleTensor

/// What signals do: Ctrl-C asks the computation to stop, and those that end the process leave no file half written.
package enum Signals {
    nonisolated(unsafe) private static var exitsOnSecond = false
    /// How the terminal was before the session began to edit lines.
    nonisolated(unsafe) private static var terminal: termios?

    /// - Parameter thenExits: whether a second interrupt, before the first has been answered, ends the process.
    package static func interruptsComputation(thenExits: Bool) {
        exitsOnSecond = thenExits
        Interrupt.clear()
        var action = sigaction()
        // No SA_RESTART: a read from the terminal has to end.
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

    /// Has the terminal put back as it is now when a signal ends the process.
    package static func keepTerminal() {
        var modes = termios()
        if tcgetattr(0, &modes) == 0 { terminal = modes }
    }

    /// Has files in the making removed when a signal ends the process; what is ignored (nohup) stays so.
    package static func removeUnfinishedFiles() {
        PartFile.prepareForSignals()
        // A file that passes the size limit is an error of its write, told by the one who writes.
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
                    // The session's prompt asked for pastes to be marked.
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
