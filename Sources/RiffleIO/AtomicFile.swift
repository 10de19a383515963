import Foundation
import RiffleTensor

/// Writes files whole or not at all.
package enum AtomicFile {
    /// Takes the bytes of a file that is being written.
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

        /// Writes at `offset`, and leaves the offset of the writes above alone.
        fileprivate func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
            var done = 0
            while done < bytes.count {
                let put = pwrite(
                    descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, off_t(offset + done))
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

    /// An error of the system, without the file's name.
    struct SystemError: Error {
        var message = systemMessage()
    }

    /// Makes the file `path` out of the bytes that `body` writes.
    ///
    /// The bytes go into a sibling with a temporary name, to the disk, and then over `path` in one step: at every
    /// moment the path holds the older file or the whole new one. A link is followed; a device or a pipe is written to
    /// directly.
    ///
    /// - Throws: `RiffleError` that names the file and the system's reason (no space, no permission, no such folder).
    package static func write(to path: String, _ body: (Output) throws -> Void) throws {
        let target = try Target(path)
        try target.naming {
            guard target.isReplaced else { return try writeThrough(to: target.resolved, body) }
            let draft = try Draft(target)
            try body(draft.output)
            try draft.commit()
        }
    }

    package static func write(_ bytes: some Collection<UInt8>, to path: String) throws {
        try write(to: path) { try $0.write(bytes) }
    }

    /// Where a file is to appear.
    fileprivate struct Target {
        /// As the user wrote it.
        let path: String
        let resolved: String
        /// The mode of the file that is there already.
        private let mode: mode_t?

        /// - Throws: `RiffleError` when a file is there that may not be written to. The check is needed, as a writable
        ///   folder lets a new file replace a read-only one, and the superuser may write to any.
        init(_ path: String) throws {
            self.path = path
            resolved = try followingLinks(path)
            var status = stat()
            mode = stat(resolved.systemName, &status) == 0 ? status.st_mode : nil
            guard let mode, isReplaced else { return }
            guard mode & 0o222 != 0, access(resolved.systemName, W_OK) == 0 || errno != EACCES else {
                throw RiffleError("", "cannot write '\(path)': a file is there that is read-only")
            }
        }

        /// Whether a new file takes the place of the one at the path; not so for a device or a pipe.
        var isReplaced: Bool { mode.map { $0 & S_IFMT == S_IFREG } ?? true }
        var permissions: mode_t? { mode.map { $0 & 0o7777 } }

        /// Runs `body`, and adds the file's name to errors of the system.
        func naming<Result>(_ body: () throws -> Result) throws -> Result {
            do {
                return try body()
            } catch let error as SystemError {
                let remark = mode != nil && isReplaced ? " (the older file is as it was)" : ""
                throw RiffleError("", "cannot write '\(path)': \(error.message)\(remark)")
            }
        }
    }

    /// A file that stays open between writes: a sibling with a temporary name until `commit` puts it over its path. A
    /// draft that is discarded or forgotten leaves nothing behind.
    package final class Draft {
        private let target: Target
        private let part: PartFile
        fileprivate let output: Output

        /// - Throws: `RiffleError` when the file cannot be made, or `path` is a device, a pipe or a folder.
        package convenience init(_ path: String) throws {
            let target = try Target(path)
            guard target.isReplaced else { throw RiffleError("", "cannot write '\(path)': it is not a regular file") }
            self.init(target, try target.naming { try PartFile(in: folder(of: target.resolved)) })
        }

        fileprivate convenience init(_ target: Target) throws {
            self.init(target, try PartFile(in: folder(of: target.resolved)))
        }

        private init(_ target: Target, _ part: PartFile) {
            self.target = target
            self.part = part
            output = Output(part.descriptor)
        }

        deinit { discard() }

        /// Reserves bytes of the disk, where the file system can, so that a disk that is too small fails at once.
        package func reserve(_ bytes: Int) throws {
            try target.naming {
                guard ftruncate(output.descriptor, off_t(bytes)) == 0 else { throw SystemError() }
                let error = posix_fallocate(output.descriptor, 0, off_t(bytes))
                guard error != ENOSPC, error != EFBIG else { throw SystemError(message: systemMessage(error)) }
            }
        }

        package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
            guard part.isOpen else { throw RiffleError("", "'\(target.path)' is closed") }
            try target.naming { try output.write(bytes, at: offset) }
        }

        /// Puts the file at its path, on the disk. After an error the path is as it was.
        package func commit() throws {
            defer { discard() }
            try target.naming {
                if let permissions = target.permissions { _ = fchmod(output.descriptor, permissions) }
                try part.move(to: target.resolved)
                syncFolder()
            }
        }

        /// Removes the unfinished file, unless `commit` has put it at its path.
        package func discard() { part.remove() }

        // The name has to reach the disk as well. Not every file system can do that, and the file is there in any case.
        private func syncFolder() {
            let descriptor = open(folder(of: target.resolved).systemName, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else { return }
            _ = fsync(descriptor)
            close(descriptor)
        }
    }

    private static func writeThrough(to path: String, _ body: (Output) throws -> Void) throws {
        let descriptor = open(path.systemName, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError() }
        do {
            try body(Output(descriptor))
        } catch {
            close(descriptor)
            throw error
        }
        guard close(descriptor) == 0 else { throw SystemError() }
    }

    private static func followingLinks(_ path: String) throws -> String {
        guard let resolved = realpath(try checked(path).systemName, nil) else { return path }
        defer { free(resolved) }
        return String(cBytes: resolved)
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
