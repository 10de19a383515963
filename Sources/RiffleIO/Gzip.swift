import CZlib
import RiffleTensor

/// A gzip file, inflated from its beginning to its end, by zlib.
package final class Gzip {
    private let source: any ByteSource
    // zlib knows a stream by its address.
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    /// Bytes that were read from the source.
    private var taken = 0
    private var isAtEnd = false

    /// All bytes of a file whose inflated size nobody knows.
    /// - Throws: `RiffleError` where they are more than `limit`.
    package static func contents(_ source: any ByteSource, limit: Int) throws -> [UInt8] {
        let file = try Gzip(source)
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
        defer { piece.deallocate() }
        var bytes: [UInt8] = []
        while case let got = try file.some(into: piece), got > 0 {
            guard bytes.count + got <= limit else { throw source.error("it inflates to more than \(limit) bytes") }
            bytes += UnsafeRawBufferPointer(rebasing: piece[..<got])
        }
        return bytes
    }

    init(_ source: any ByteSource) throws {
        self.source = source
        stream.initialize(to: z_stream())
        // A window of 15 bits, and 16 for gzip's header.
        guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw source.error("out of memory for inflating it")
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        input.deallocate()
    }

    /// Fills `target` with the bytes that follow.
    func read(into target: UnsafeMutableRawBufferPointer) throws {
        var done = 0
        while done < target.count {
            let part = UnsafeMutableRawBufferPointer(rebasing: target[done...].prefix(1 << 30))
            let got = try some(into: part)
            guard got > 0 else { throw source.error("the inflated file ends too early") }
            done += got
        }
    }

    /// Checks that nothing follows; zlib then compares the checksum.
    func expectEnd() throws {
        var byte: UInt8 = 0
        let got = try withUnsafeMutableBytes(of: &byte) { try some(into: $0) }
        guard got == 0 else { throw source.error("the inflated file is longer than its header says") }
    }

    /// Inflates one byte or more, or none at the end.
    private func some(into target: UnsafeMutableRawBufferPointer) throws -> Int {
        stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(target.count)
        while !isAtEnd, Int(stream.pointee.avail_out) == target.count {
            if stream.pointee.avail_in == 0 { try fill() }
            switch inflate(stream, Z_NO_FLUSH) {
            case Z_OK, Z_BUF_ERROR: continue
            case Z_STREAM_END: isAtEnd = true
            default: throw source.error("its compressed data are damaged")
            }
        }
        return target.count - Int(stream.pointee.avail_out)
    }

    private func fill() throws {
        let next = UnsafeMutableRawBufferPointer(rebasing: input[..<min(input.count, source.size - taken)])
        guard next.count > 0 else { throw source.error("the file ends too early") }
        try source.read(into: next, at: taken)
        taken += next.count
        stream.pointee.next_in = next.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = UInt32(next.count)
    }
}
