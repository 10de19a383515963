import Foundation
import RiffleIO
import RiffleTensor

/// The lock of a run's folder, which one process has at a time. The system takes it back when the process ends, however
/// it ends.
final class RunLock {
    /// Holds the lock as long as it is open.
    private let descriptor: Int32

    /// Takes the lock of a folder, and notes in its file who has it.
    /// - Throws: `RiffleError` when another process has it, or the folder takes no file.
    init(_ folder: String) throws {
        let name = "\(folder)/\(RunFile.lock)"
        descriptor = open(name.systemName, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw RiffleError("", "cannot use the folder '\(folder)': \(systemMessage())") }
        guard RunLock.take(descriptor) else {
            let reason = errno
            guard reason == EWOULDBLOCK else {
                throw RiffleError("", "cannot lock '\(name)': \(systemMessage(reason))")
            }
            let owner = (try? InputFile(name)).flatMap {
                try? String(decoding: $0.bytes($0.size), as: UTF8.self)
            }
            let process =
                owner.map { $0.isEmpty ? "" : ", \($0.trimmingCharacters(in: .whitespacesAndNewlines))" } ?? ""
            throw RiffleError("", "'\(folder)' is in use by another process\(process)")
        }
        ftruncate(descriptor, 0)
        let note = "process \(getpid()) of \(ProcessInfo.processInfo.hostName)\n"
        _ = note.withCString { pwrite(descriptor, $0, strlen($0), 0) }
    }

    deinit { close(descriptor) }

    /// Whether a process has the lock of a folder. The lock is taken for a moment, shared, to find out.
    static func isTaken(in folder: String) -> Bool {
        let descriptor = open("\(folder)/\(RunFile.lock)".systemName, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    /// Takes the lock. `isTaken` holds it for a moment, so that a few attempts are made.
    private static func take(_ descriptor: Int32) -> Bool {
        for attempt in 0..<20 {
            if attempt > 0 { usleep(10_000) }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
            guard errno == EWOULDBLOCK || errno == EINTR else { return false }
        }
        return false
    }
}
