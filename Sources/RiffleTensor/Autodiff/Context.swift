import CKernels

/// What the engine keeps for each thread: the tape, the modes and the source of randomness.
package final class Context {
    package private(set) var tape = Tape()
    /// Whether operations are recorded for reverse mode.
    package var isRecording = true
    /// Whether every operation checks its result for NaN and infinity.
    package var guardsAgainstNaN = false
    /// Returns the line of the user's code that called the running operation, or an empty text where the line is
    /// unknown. Records that are made while NaN is guarded against keep the line.
    package var callLocation: () -> String = { "" }
    package var random = RandomSource()
    /// Whether new parameters have shapes alone, see `withoutNumbers`.
    var makesBlankParameters = false
    /// How matrix products, attention and convolutions multiply; derivatives use their operation's precision.
    package var precision = Precision.float32
    /// Where operations report their time while a measurement runs.
    package var profiler: Profiler?
    /// Frees tensors that nobody needs any more. Called when memory runs out; nil where there is no collector.
    package var reclaim: (() -> Void)?
    /// Numbers of the forward-mode levels that are open, innermost last; no number is used twice.
    private(set) var levels: [Int] = []
    /// The open levels whose tangents are constants to reverse mode.
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

    /// Closes a level and the levels that were left open inside it.
    func close(_ level: Int) {
        while let last = levels.last, last >= level { constantLevels.remove(levels.removeLast()) }
    }

    /// What decides, beside its inputs, what a computation gives.
    struct Modes {
        fileprivate let random: RandomSource
        let precision: Precision
        fileprivate let levels: [Int]
        let constantLevels: Set<Int>
        /// The line of the user's code, while NaN is guarded against; else empty.
        let location: String
    }

    var modes: Modes {
        Modes(
            random: random, precision: precision, levels: levels, constantLevels: constantLevels,
            location: guardsAgainstNaN ? callLocation() : "")
    }

    /// Runs `body` in the modes of an earlier computation and records it on that computation's tape. Tape and modes,
    /// the source of randomness among them, are as they were afterwards.
    func returning<Result>(to earlier: Modes, on earlierTape: Tape, _ body: () throws -> Result) rethrows -> Result {
        let (tape, modes, isRecording, callLocation) = (self.tape, self.modes, self.isRecording, self.callLocation)
        func set(_ modes: Modes) {
            (random, precision) = (modes.random, modes.precision)
            (levels, constantLevels) = (modes.levels, modes.constantLevels)
        }
        defer {
            set(modes)
            (self.tape, self.isRecording, self.callLocation) = (tape, isRecording, callLocation)
        }
        set(earlier)
        self.tape = earlierTape
        self.isRecording = true
        self.callLocation = { earlier.location }
        return try body()
    }
}

/// How numbers of type float32 are multiplied by matrix products, attention and convolutions. Sums are float32 in both.
package enum Precision: String, Sendable, CaseIterable {
    case float32
    /// Factors are rounded to bfloat16 (8 bits) on processors with matrix tiles (AMX). On other processors, in small
    /// products and in 3 x 3 convolutions of stride 1 factors stay float32.
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
