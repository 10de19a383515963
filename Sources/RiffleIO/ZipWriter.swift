import CZip
import Foundation
import RiffleTensor

/// A ZIP archive of stored entries, which libzip makes in memory: it writes files by its own rules, and here they
/// appear whole or not at all.
final class ZipWriter {
    /// What libzip writes to, and the archive until it is finished.
    private let target: OpaquePointer
    private var archive: OpaquePointer?
    private let failure: (String) -> RiffleError

    /// - Parameter failure: makes an error that names the file.
    init(failure: @escaping (String) -> RiffleError) throws {
        self.failure = failure
        var error = zip_error_t()
        guard let target = zip_source_buffer_create(nil, 0, 0, &error) else { throw failure(text(&error)) }
        self.target = target
        // The archive frees its source, whose bytes are wanted afterwards.
        zip_source_keep(target)
        archive = zip_open_from_source(target, Int32(ZIP_TRUNCATE), &error)
        guard archive != nil else {
            zip_source_free(target)
            throw failure(text(&error))
        }
    }

    deinit {
        if let archive { zip_discard(archive) }
        zip_source_free(target)
    }

    /// Adds an entry of these bytes, which are copied.
    /// - Parameter name: differs from those of other entries.
    func add(_ name: String, _ parts: [UnsafeRawBufferPointer]) throws {
        guard let archive else { return }
        let size = parts.reduce(0) { $0 + $1.count }
        guard let bytes = malloc(max(1, size)) else { throw failure("out of memory") }
        var done = 0
        for part in parts {
            UnsafeMutableRawBufferPointer(start: bytes + done, count: part.count).copyMemory(from: part)
            done += part.count
        }
        var error = zip_error_t()
        guard let source = zip_source_buffer_create(bytes, zip_uint64_t(size), 1, &error) else {
            free(bytes)
            throw failure(text(&error))
        }
        let index = zip_file_add(archive, name, source, 0)
        guard index >= 0 else {
            zip_source_free(source)
            throw failure(text(zip_get_error(archive)))
        }
        // The same bytes at any time: 1980 is the format's first year, and NumPy's.
        guard zip_set_file_compression(archive, zip_uint64_t(index), ZIP_CM_STORE, 0) == 0,
            zip_file_set_dostime(archive, zip_uint64_t(index), 0, 1 << 5 | 1, 0) == 0
        else { throw failure(text(zip_get_error(archive))) }
    }

    /// Ends the archive, and writes it to a file.
    func finish(_ output: AtomicFile.Output) throws {
        guard let archive else { return }
        guard zip_close(archive) == 0 else { throw failure(text(zip_get_error(archive))) }
        self.archive = nil
        guard zip_source_open(target) == 0 else { throw failure(text(zip_source_error(target))) }
        defer { zip_source_close(target) }
        let size = 1 << 20, piece = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
        defer { piece.deallocate() }
        while true {
            let got = zip_source_read(target, piece, zip_uint64_t(size))
            guard got >= 0 else { throw failure(text(zip_source_error(target))) }
            if got == 0 { return }
            try output.write(UnsafeRawBufferPointer(start: piece, count: Int(got)))
        }
    }
}

private func text(_ error: UnsafeMutablePointer<zip_error_t>?) -> String {
    guard let error else { return "an unknown error of libzip" }
    defer { zip_error_fini(error) }
    return String(cString: zip_error_strerror(error))
}
