import CKernels

/// What the engine keeps for each thread: the tape, the modes and the source of randomness.
package final class Context {
    package let tape = Tape()
    /// Whether operations are recorded for reverse mode.
    package var isRecording = true
    /// Whether every operation checks its result for NaN and infinity.
    package var guardsAgainstNaN = false
    /// Tells where in the user's code the running operation was called, empty where nobody knows; for records that are
    /// made while NaN is guarded against.
    package var placeOfCall: () -> String = { "" }
    package var random = RandomSource()
    /// How matrix products, attention and convolutions multiply; derivatives take what their operation had.
    package var precision = Precision.float32
    /// Where operations tell their time, while someone asks.
    package var profiler: Profiler?
    /// Frees tensors that nobody needs any more, where there is someone who can: asked when memory runs out.
    package var reclaim: (() -> Void)?
    /// Forward-mode levels that are open, innermost last; numbers are never used twice.
    private(set) var levels: [Int] = []
    /// Those of them whose tangents are constants to reverse mode.
    private(set) var constantLevels: Set<Int> = []
    private var nextLevel = 1

    /// The context of the calling thread.
    package static var current: Context {
        if let pointer = rk_thread_context() { return Unmanaged<Context>.fromOpaque(pointer).takeUnretainedValue() }
        let context = Context()
        rk_thread_set_context(Unmanaged.passRetained(context).toOpaque()) { pointer in
            Unmanaged<Context>.fromOpaque(pointer!).release()
        }
        return context
    }

    func openLevel(constant: Bool) -> Int {
        defer { nextLevel += 1 }
        levels.append(nextLevel)
        if constant { constantLevels.insert(nextLevel) }
        return nextLevel
    }

    /// Closes a level and those left open inside it.
    func close(_ level: Int) {
        while let last = levels.last, last >= level { constantLevels.remove(levels.removeLast()) }
    }
}

/// How numbers of type float32 are multiplied by matrix products, attention and convolutions. Sums are float32 in both.
package enum Precision: String, Sendable, CaseIterable {
    case float32
    /// Factors are rounded to bfloat16 (8 bits), on processors with matrix tiles (AMX); elsewhere, in small products
    /// and in 3 x 3 convolutions of stride 1 it is float32.
    case bfloat16 = "bf16"

    var kernel: rk_precision { self == .bfloat16 ? RK_BFLOAT16 : RK_FLOAT32 }
}

/// Runs `body` with another precision.
package func multiplying<Result>(in precision: Precision, _ body: () throws -> Result) rethrows -> Result {
    let context = Context.current
    let before = context.precision
    context.precision = precision
    defer { context.precision = before }
    return try body()
}

/// Runs `body` without recording for reverse mode.
package func withoutGradient<Result>(_ body: () throws -> Result) rethrows -> Result {
    let context = Context.current
    let before = context.isRecording
    context.isRecording = false
    defer { context.isRecording = before }
    return try body()
}
