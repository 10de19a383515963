import Foundation
import RiffleIO
import RiffleTensor

/// A file that grows at its end, through a buffer, and whose trouble does not stop the one who writes.
///
/// What the system does not take, as on a full disk, stays in the buffer, and the next flush tries again. When the
/// buffer is full, further pieces are dropped as a whole, so that no piece is ever torn in the middle of the file.
final class GrowingFile {
    let path: String
    /// The bytes that the system has.
    private(set) var size: Int
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private let warn: (String) -> Void
    private var hasWarned = false

    private static let mostBuffered = 4 << 20

    /// - Parameters:
    ///   - isNew: whether the file must not be there yet.
    ///   - warn: takes the message about the first write that fails.
    init(_ path: String, isNew: Bool = false, warn: @escaping (String) -> Void) throws {
        self.path = path
        self.warn = warn
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (isNew ? O_EXCL : 0)
        descriptor = open(try checked(path).systemName, flags, 0o666)
        guard descriptor >= 0 else { throw RiffleError("", "cannot write '\(path)': \(systemMessage())") }
        var status = stat()
        size = fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
    }

    deinit {
        flush()
        close(descriptor)
    }

    /// Appends a piece: all of it or, when the buffer is full, nothing.
    func append(_ piece: [UInt8]) {
        if buffer.count + piece.count > GrowingFile.mostBuffered, !flush() { return }
        buffer += piece
        if buffer.count >= 1 << 16 { flush() }
    }

    /// Gives the buffer to the system.
    /// - Returns: whether the system took all of it.
    @discardableResult
    func flush() -> Bool {
        var done = 0
        while done < buffer.count {
            let put = buffer.withUnsafeBytes { write(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done) }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else {
                report(systemMessage())
                break
            }
            done += put
        }
        size += done
        buffer.removeFirst(done)
        return buffer.isEmpty
    }

    /// Brings the file to the disk.
    func sync() {
        // Pipes and some file systems cannot.
        if flush(), fsync(descriptor) != 0, errno != EINVAL, errno != EROFS { report(systemMessage()) }
    }

    private func report(_ reason: String) {
        if !hasWarned { warn("cannot write '\(path)': \(reason); training goes on, and so do attempts to write") }
        hasWarned = true
    }
}
