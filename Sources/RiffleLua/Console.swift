@preconcurrency import Glibc
import RiffleTensor

/// Standard output and standard error, in order with what C code wrote to its buffered streams.
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

    /// The columns of the terminal to which a stream writes; nil where the stream is no terminal.
    package static func width(of file: Int32) -> Int? {
        var size = winsize()
        guard isatty(file) == 1, ioctl(file, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// errno of the first loss of output; 0 where nothing was lost, or the reason is not known.
    nonisolated(unsafe) private static var lossReason: Int32 = 0

    /// Notes a loss of output. Call right after writing to standard output, before errno changes.
    static func noteLoss() {
        let reason = errno
        if lossReason == 0, ferror(stdout) != 0 { lossReason = reason }
    }

    /// Makes the process end with a message and a code other than 0 where some of standard output was lost, whoever
    /// wrote it. Call this first, so that all else that the end of the process runs comes before the check.
    package static func watchOutput() {
        // A stream that the caller closed is opened: otherwise the next file that a script opens would get its number,
        // and all that is printed.
        for file: Int32 in 0...2 where fcntl(file, F_GETFD) < 0 {
            _ = open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY)
        }
        on_exit({ status, _ in Console.reportLoss(status) }, nil)
    }

    /// Writes out Lua's files that scripts did not close, and reports where a file cannot be written.
    /// - Returns: whether all could be written.
    static func flushFiles() -> Bool {
        fflush(stdout)
        noteLoss()
        guard fflush(nil) != 0 else { return true }
        error("riffle: a file that was left open could not be written: \(String(cString: strerror(errno)))\n")
        return false
    }

    private static func reportLoss(_ status: Int32) {
        fflush(stdout)
        noteLoss()
        guard ferror(stdout) != 0, lossReason != EPIPE else { return }
        fflush(nil)
        let reason = lossReason == 0 ? "" : ": " + String(cString: strerror(lossReason))
        error("riffle: standard output could not be written\(reason)\n")
        _exit(status == 0 ? 1 : status)
    }
}
