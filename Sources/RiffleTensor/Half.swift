import CKernels

/// Floats of 16 bits as float32, and float32 rounded to them; on the calling thread.
package enum Half {
    /// Fills `target` with bfloat16's numbers, without a change.
    package static func widen(bfloat16 x: UnsafeBufferPointer<UInt16>, into target: UnsafeMutablePointer<Float>) {
        rk_widen_bfloat16(x.baseAddress, target, x.count)
    }

    /// Fills `target` with float16's numbers, without a change.
    package static func widen(float16 x: UnsafeBufferPointer<UInt16>, into target: UnsafeMutablePointer<Float>) {
        rk_widen_float16(x.baseAddress, target, x.count)
    }

    /// Fills `target` with the nearest of bfloat16's numbers.
    package static func round(_ x: UnsafeBufferPointer<Float>, toBFloat16 target: UnsafeMutablePointer<UInt16>) {
        rk_round_bfloat16(x.baseAddress, target, x.count)
    }
}
