@preconcurrency import Glibc
import RiffleTensor

/// The three streams, unbuffered, after what C wrote to its own.
package enum Console {
    package static func output(_ text: String) {
        let bytes = text.bytes
        fwrite(bytes, 1, bytes.count, stdout)
        fflush(stdout)
        noteLoss()
    }

    package static func error(_ text: String) {
        fflush(stdout)
        text.bytes.withUnsafeBufferPointer { bytes in
            var done = 0
            while done < bytes.count, let base = bytes.baseAddress {
                let count = Glibc.write(2, base + done, bytes.count - done)
                if count < 0, errno != EINTR { return }
                done += max(count, 0)
            }
        }
    }

    /// Columns of the terminal that a stream writes to; nil where it is none.
    static func width(of file: Int32) -> Int? {
        var size = winsize()
        guard isatty(file) == 1, ioctl(file, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Why output was lost for the first time, as errno says; 0 where none was, or the reason is not known.
    nonisolated(unsafe) private static var lossReason: Int32 = 0

    /// To be called right after something was written to standard output.
    static func noteLoss() {
        let reason = errno
        if lossReason == 0, ferror(stdout) != 0 { lossReason = reason }
    }

    /// Has the process end with a message and a code that is not 0 where standard output, whoever wrote to it, did not
    /// get all.
    /// To be called first, so that whatever else is done at the end of the process is done before.
    package static func watchOutput() {
        // In the place of a stream that the caller closed, a file that a script opens would get what is printed.
        for file: Int32 in 0...2 where fcntl(file, F_GETFD) < 0 {
            _ = open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY)
        }
        on_exit({ status, _ in Console.tellOfLoss(status) }, nil)
    }

    /// Writes out what scripts left in files of Lua's that they did not close; tells where one cannot be written.
    static func flushFiles() -> Bool {
        fflush(stdout)
        noteLoss()
        guard fflush(nil) != 0 else { return true }
        error("riffle: a file that was left open could not be written: \(String(cString: strerror(errno)))\n")
        return false
    }

    private static func tellOfLoss(_ status: Int32) {
        fflush(stdout)
        noteLoss()
        guard ferror(stdout) != 0, lossReason != EPIPE else { return }
        fflush(nil)
        let reason = lossReason == 0 ? "" : ": " + String(cString: strerror(lossReason))
        error("riffle: standard output could not be written\(reason)\n")
        _exit(status == 0 ? 1 : status)
    }
}
