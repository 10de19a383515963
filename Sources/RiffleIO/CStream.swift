import CImage
import RiffleTensor

/// Gives a file's bytes to C, or takes them from C.
final class CStream {
    private let transfer: (UnsafeMutableRawBufferPointer) throws -> Void
    /// The error that `transfer` threw.
    private(set) var failure: (any Error)?

    init(_ transfer: @escaping (UnsafeMutableRawBufferPointer) throws -> Void) { self.transfer = transfer }

    /// Gives the bytes of a source from the first one on.
    convenience init(reading source: any ByteSource) {
        var offset = 0
        self.init { bytes in
            try source.read(into: bytes, at: offset)
            offset += bytes.count
        }
    }

    /// Runs a function of C that reads or writes through this stream. Where it fails, it returns nil and leaves a
    /// message.
    func run<Result>(_ error: (String) -> any Error, _ body: (ci_stream, UnsafeMutablePointer<CChar>?) -> Result?)
        throws -> Result
    {
        let callbacks = ci_stream(context: Unmanaged.passUnretained(self).toOpaque()) { context, bytes, count in
            guard let context else { return false }
            return Unmanaged<CStream>.fromOpaque(context).takeUnretainedValue().transfer(bytes, count)
        }
        return try withExtendedLifetime(self) {
            try withMessage({ failure ?? error($0) }) { body(callbacks, $0) }
        }
    }

    private func transfer(_ bytes: UnsafeMutablePointer<UInt8>?, _ count: Int) -> Bool {
        do {
            try transfer(UnsafeMutableRawBufferPointer(start: bytes, count: count))
            return true
        } catch {
            failure = error
            return false
        }
    }
}

/// Runs a function of C that returns nil and leaves a message where it fails.
func withMessage<Result>(_ error: (String) -> any Error, _ body: (UnsafeMutablePointer<CChar>?) -> Result?) throws
    -> Result
{
    var message = [CChar](repeating: 0, count: Int(CI_MESSAGE))
    guard let result = message.withUnsafeMutableBufferPointer({ body($0.baseAddress) }) else {
        throw error(String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
    }
    return result
}
