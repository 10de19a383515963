import Foundation
import RiffleTensor
import Synchronization

/// A hidden file, `.riffle-<kernel>-<process>-<number>.part`, in which a file is written until it is whole.
///
/// Whoever writes it holds a lock on it (flock), which the system takes back when the process ends, however it ends. So
/// a file that nobody has locked is left over from a process that is dead, and is removed by the next one that begins a
/// file in that folder. Locks may end at a machine's border: files of another kernel have to be a day old as well.
package final class PartFile {
    let descriptor: Int32
    private(set) var isOpen = true
    private let path: [CChar]
    private var isThere = true

    /// - Throws: `SystemError` when the folder takes no file.
    init(in folder: String) throws {
        PartFile.sweep(folder)
        (path, descriptor) = try PartFile.create(in: folder)
        PartFile.note(path)
    }

    private static let counter = Atomic<Int>(0)

    private static func create(in folder: String) throws -> (path: [CChar], descriptor: Int32) {
        while true {
            let number = counter.add(1, ordering: .relaxed).newValue
            let path = "\(folder)/.riffle-\(kernel)-\(getpid())-\(number).part".systemName
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if descriptor < 0, errno == EEXIST || errno == EINTR { continue }
            guard descriptor >= 0 else { throw AtomicFile.SystemError() }
            // Another process that sweeps may have locked and removed the file already. Where locks do not work, nobody
            // sweeps.
            let isTaken = flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
            var status = stat()
            if !isTaken, fstat(descriptor, &status) != 0 || status.st_nlink > 0 { return (path, descriptor) }
            close(descriptor)
        }
    }

    /// Writes the file to the disk, and renames it to `target`.
    func move(to target: String) throws {
        guard fsync(descriptor) == 0 else { throw AtomicFile.SystemError() }
        // The lock lasts as long as the second descriptor. A network file system may report a full disk only when
        // the first descriptor is closed.
        let lock = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        defer { if lock >= 0 { close(lock) } }
        isOpen = false
        guard close(descriptor) == 0 else { throw AtomicFile.SystemError() }
        guard rename(path, target.systemName) == 0 else { throw AtomicFile.SystemError() }
        isThere = false
        PartFile.forget(path)
    }

    /// Removes the file, unless it has been renamed. A second call does nothing.
    func remove() {
        if isThere {
            unlink(path)
            PartFile.forget(path)
        }
        if isOpen { close(descriptor) }
        isOpen = false
        isThere = false
    }

    // MARK: - Files of dead processes

    private static let swept = Mutex<Set<String>>([])

    /// Removes the files that dead processes have left in a folder, once in the life of this process.
    private static func sweep(_ folder: String) {
        guard swept.withLock({ $0.insert(folder).inserted }), let names = try? namesInFolder(folder) else { return }
        for name in names where name.hasPrefix(".riffle-") && name.hasSuffix(".part") {
            removeDead("\(folder)/\(name)".systemName, ofThisKernel: name.hasPrefix(".riffle-\(kernel)-"))
        }
    }

    private static func removeDead(_ path: [CChar], ofThisKernel: Bool) {
        let descriptor = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var status = stat()
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &status) == 0,
            status.st_mode & S_IFMT == S_IFREG
        else { return }
        guard ofThisKernel || time(nil) - status.st_mtim.tv_sec > 86_400 else { return }
        unlink(path)
    }

    /// The kernel since it was started: containers on one machine share it, other machines do not.
    private static let kernel: String = {
        var bytes = [UInt8](repeating: 0, count: 8)
        let file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "0" }
        defer { close(file) }
        return read(file, &bytes, bytes.count) == bytes.count ? String(decoding: bytes, as: UTF8.self) : "0"
    }()

    // MARK: - Signals

    // The paths that a signal's handler reads, C strings or nil. Files beyond their number are left to a later sweep.
    nonisolated(unsafe) private static let names: UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?> = {
        let names = UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: 256)
        names.initialize(repeating: nil)
        return names
    }()
    private static let writing = Mutex<Void>(())

    private static func note(_ path: [CChar]) {
        writing.withLock { _ in
            guard let free = names.firstIndex(where: { $0 == nil }) else { return }
            names[free] = strdup(path)
        }
    }

    private static func forget(_ path: [CChar]) {
        writing.withLock { _ in
            guard let index = names.firstIndex(where: { $0.map { strcmp($0, path) == 0 } ?? false }) else { return }
            let name = names[index]
            names[index] = nil
            free(name)
        }
    }

    /// Makes `removeAll` ready to be called by a signal's handler.
    package static func prepareForSignals() { _ = names.count }

    /// Removes every unfinished file of this process, which is about to end. For signal handlers.
    package static func removeAll() {
        for name in names { if let name { unlink(name) } }
    }
}
