import Glibc
import RiffleTensor

/// The three streams, unbuffered, after what C wrote to its own.
public enum Console {
    public static func output(_ text: String) { write(text, to: 1) }
    public static func error(_ text: String) { write(text, to: 2) }

    private static func write(_ text: String, to file: Int32) {
        fflush(nil)
        text.bytes.withUnsafeBufferPointer { bytes in
            var done = 0
            while done < bytes.count, let base = bytes.baseAddress {
                let count = Glibc.write(file, base + done, bytes.count - done)
                if count < 0, errno != EINTR { return }
                done += max(count, 0)
            }
        }
    }
}
