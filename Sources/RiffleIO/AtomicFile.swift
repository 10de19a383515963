import Foundation
import RiffleTensor
import Synchronization

/// Writes files whole or not at all.
package enum AtomicFile {
    /// Takes the bytes of a file in the making.
    package final class Output {
        fileprivate let descriptor: Int32
        fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

        package func write(_ bytes: UnsafeRawBufferPointer) throws {
            var done = 0
            while done < bytes.count {
                let put = Foundation.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if put < 0, errno == EINTR { continue }
                guard put > 0 else { throw SystemError() }
                done += put
            }
        }

        package func write(_ bytes: some Collection<UInt8>) throws {
            if try bytes.withContiguousStorageIfAvailable({ try write(UnsafeRawBufferPointer($0)) }) == nil {
                try Array(bytes).withUnsafeBytes { try write($0) }
            }
        }
    }

    private struct SystemError: Error {
        var message = systemMessage()
    }

    /// Makes the file `path` out of what `body` writes.
    ///
    /// The bytes go into a sibling with a temporary name, to the disk, and then over `path` in one step: at every moment
    /// the path holds the older file or the whole new one. A link is followed; a device or a pipe is written to as it is.
    ///
    /// - Throws: `RiffleError` that names the file and the system's reason (no space, no permission, no such folder).
    package static func write(to path: String, _ body: (Output) throws -> Void) throws {
        let target = try followingLinks(path)
        var status = stat()
        let exists = stat(target, &status) == 0
        do {
            if exists, status.st_mode & S_IFMT != S_IFREG {
                try withOutput(to: target, O_WRONLY, body)
            } else {
                try replace(target, permissions: exists ? status.st_mode & 0o7777 : nil, body)
            }
        } catch let error as SystemError {
            let remark = exists && status.st_mode & S_IFMT == S_IFREG ? " (the older file is as it was)" : ""
            throw RiffleError("", "cannot write '\(path)': \(error.message)\(remark)")
        }
    }

    package static func write(_ bytes: some Collection<UInt8>, to path: String) throws {
        try write(to: path) { try $0.write(bytes) }
    }

    private static let counter = Atomic<Int>(0)

    private static func replace(_ target: String, permissions: mode_t?, _ body: (Output) throws -> Void) throws {
        let folder = folder(of: target)
        let number = counter.add(1, ordering: .relaxed).newValue
        let temporary = "\(folder)/.riffle-\(getpid())-\(number).part"
        do {
            try withOutput(to: temporary, O_WRONLY | O_CREAT | O_EXCL) { output in
                try body(output)
                if let permissions { _ = fchmod(output.descriptor, permissions) }
                guard fsync(output.descriptor) == 0 else { throw SystemError() }
            }
            guard rename(temporary, target) == 0 else { throw SystemError() }
        } catch {
            unlink(temporary)
            throw error
        }
        // The name has to reach the disk as well. Not every file system can do that, and the file is there already.
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor >= 0 {
            _ = fsync(descriptor)
            close(descriptor)
        }
    }

    private static func withOutput(to path: String, _ flags: Int32, _ body: (Output) throws -> Void) throws {
        let descriptor = open(path, flags | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw SystemError() }
        do {
            try body(Output(descriptor))
        } catch {
            close(descriptor)
            throw error
        }
        // A network file system may tell of a full disk only here.
        guard close(descriptor) == 0 else { throw SystemError() }
    }

    private static func followingLinks(_ path: String) throws -> String {
        guard let resolved = realpath(try checked(path), nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
