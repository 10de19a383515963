import Foundation
import RiffleTensor

/// A regular file opened for reading, in which no access passes the end.
///
/// Whoever takes a size from the file's own bytes asks `holds` before allocating anything of that size.
package final class InputFile: ByteSource {
    package let path: String
    package var name: String { "'\(path)'" }
    /// The number of bytes.
    package let size: Int
    private let descriptor: Int32

    /// - Throws: `RiffleError` when there is no file of that name that can be read, or it is not a regular one.
    package init(_ path: String) throws {
        self.path = try checked(path)
        // Without O_NONBLOCK a pipe of that name would make us wait.
        descriptor = open(path.systemName, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw RiffleError("", "cannot read '\(path)': \(systemMessage())") }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw RiffleError("", "cannot read '\(path)': it is not a regular file")
        }
        size = Int(status.st_size)
    }

    deinit { close(descriptor) }

    /// Fills `target` from `offset` on.
    package func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        try check(target.count, at: offset)
        var done = 0
        while done < target.count {
            let got = pread(descriptor, target.baseAddress.map { $0 + done }, target.count - done, off_t(offset + done))
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw RiffleError("", "cannot read '\(path)': \(systemMessage())") }
            guard got > 0 else { throw error("it was cut off at byte \(offset + done) while being read") }
            done += got
        }
    }
}

/// The path, checked: C has to read it as the user wrote it.
package func checked(_ path: String) throws -> String {
    guard !path.isEmpty, !path.utf8.contains(0) else {
        throw RiffleError("", "a file's name is empty or holds a zero byte")
    }
    return path
}

/// Whether a file or folder of this name is there.
package func fileExists(_ path: String) -> Bool { access(path.systemName, F_OK) == 0 }

/// Whether a path leads to a folder.
/// - Throws: `RiffleError` where the path is no path.
package func isFolder(_ path: String) throws -> Bool {
    var status = stat()
    return stat(try checked(path).systemName, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// The names in a folder, in order.
package func namesInFolder(_ path: String) throws -> [String] {
    guard let listing = opendir(try checked(path).systemName) else {
        throw RiffleError("", "cannot read the folder '\(path)': \(systemMessage())")
    }
    defer { closedir(listing) }
    var names: [String] = []
    while let entry = readdir(listing) {
        names.append(
            withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cBytes: $0) }
            })
    }
    return names.sorted()
}

/// Makes a folder, and those that it is in.
package func makeFolders(_ path: String) throws {
    guard mkdir(try checked(path).systemName, 0o777) != 0 else { return }
    if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
        try makeFolders(String(path[..<slash]))
        guard mkdir(path.systemName, 0o777) != 0 else { return }
    }
    let reason = errno
    var status = stat()
    let isThere = reason == EEXIST && stat(path.systemName, &status) == 0
    if isThere, status.st_mode & S_IFMT == S_IFDIR { return }
    throw RiffleError(
        "",
        "cannot make the folder '\(path)': " + (isThere ? "a file of that name is there" : systemMessage(reason)))
}

/// The system's words for its last error.
package func systemMessage(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// The product of sizes read from a file; nil where an Int does not hold it.
package func checkedProduct(_ sizes: [Int]) -> Int? {
    if sizes.contains(0) { return 0 }
    var product = 1
    for size in sizes {
        let (next, overflow) = product.multipliedReportingOverflow(by: size)
        if overflow { return nil }
        product = next
    }
    return product
}
