import Foundation
import RiffleIO
import RiffleTensor

/// The lock of a folder, such as a run's, which one process has at a time. The system takes it back when the process
/// ends, however it ends.
package final class RunLock {
    /// Holds the lock as long as it is open.
    private let descriptor: Int32

    /// Takes the lock of a folder, and notes in its file who has it.
    /// - Throws: `RiffleError` when another process has it, or the folder takes no file.
    package init(_ folder: String) throws {
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
        if let free = RunLock.held.firstIndex(of: -1) { RunLock.held[free] = descriptor }
    }

    deinit {
        if let index = RunLock.held.firstIndex(of: descriptor) { RunLock.held[index] = -1 }
        close(descriptor)
    }

    // MARK: - Signals

    // The locks' descriptors, which a signal's handler reads; -1 where there is none.
    nonisolated(unsafe) private static let held: UnsafeMutableBufferPointer<Int32> = {
        let held = UnsafeMutableBufferPointer<Int32>.allocate(capacity: 64)
        held.initialize(repeating: -1)
        return held
    }()

    private static let ending: StaticString = "ended by signal "

    /// Makes `noteEnd` ready to be called by a signal's handler.
    static func prepareForSignals() { _ = (held.count, ending.utf8CodeUnitCount) }

    /// Notes in every lock's file that a signal ends this process now. For signal handlers.
    static func noteEnd(by signal: Int32) {
        for descriptor in held where descriptor >= 0 {
            var digits = (UInt8(48 + signal / 10 % 10), UInt8(48 + signal % 10), UInt8(ascii: "\n"))
            let end = lseek(descriptor, 0, SEEK_END)
            _ = pwrite(descriptor, ending.utf8Start, ending.utf8CodeUnitCount, end)
            _ = pwrite(descriptor, &digits, 3, end + off_t(ending.utf8CodeUnitCount))
        }
    }

    /// The name of the signal that ended the last process at once, as a signal's handler noted; nil where none did.
    static func endingSignal(in folder: String) -> String? {
        guard let file = try? InputFile("\(folder)/\(RunFile.lock)"), file.size <= 4096,
            let text = try? String(decoding: file.bytes(file.size), as: UTF8.self),
            let range = text.range(of: "\(ending)"), let number = Int32(text[range.upperBound...].prefix(2))
        else { return nil }
        return strsignal(number).map { String(cString: $0).lowercased() }
    }

    // MARK: - Parts

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
