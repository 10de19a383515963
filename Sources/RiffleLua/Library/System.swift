import CKernels
import RiffleTensor

/// Threads, memory and versions.
enum SystemLibrary {
    static let version = "0.1.0"
    /// When the first engine of the process began.
    static let started = ContinuousClock.now

    static let functions: [Function] = [
        Function("version", [], Doc("Riffle's version.", example: "> riffle.version()\n\(version)")) { _ in
            [.string(version)]
        },
        Function(
            "clock", [],
            Doc(
                "Seconds on a steady clock that starts with the program, to time things by.",
                example: "> local start = riffle.clock(); return riffle.clock() >= start\ntrue")
        ) { _ in
            let passed = started.duration(to: .now)
            return [.number(Double(passed.components.seconds) + Double(passed.components.attoseconds) * 1e-18)]
        },
        Function(
            "threads", [Argument("count", .integer(1...1024), "how many to use from now on", default: .none)],
            Doc("How many threads compute; results do not depend on it.", example: "> riffle.threads(1)\n1")
        ) {
            if let count = $0.optionalInteger(0) { rk_threads_set(Int32(count)) }
            return [.integer(Int(rk_threads()))]
        },
        Function(
            "memory.stats", [],
            Doc(
                "Bytes of tensor memory: live, peak, cached for reuse, and the limits on live and cached. Prints them "
                    + "in words, too.",
                example: "> riffle.memory.stats().live <= riffle.memory.stats().limit\ntrue")
        ) { _ in
            let memory = rk_memory_now()
            return [
                .table([
                    "live": .integer(Int(memory.live)), "peak": .integer(Int(memory.peak)),
                    "cached": .integer(Int(memory.cached)),
                    "limit": .integer(Int(memory.limit)), "cache_limit": .integer(Int(memory.cache_limit)),
                ])
            ]
        },
        Function(
            "memory.limit", [Argument("bytes", .bytes, "0 for four fifths of what there is", default: .none)],
            Doc(
                "The most bytes that tensors may use; beyond it an operation raises an error.",
                example: "> riffle.memory.limit() > 0\ntrue")
        ) {
            if let bytes = $0.optionalInteger(0) { rk_memory_set_limit(bytes) }
            return [.integer(Int(rk_memory_now().limit))]
        },
        Function(
            "memory.cache_limit", [Argument("bytes", .bytes, default: .none)],
            Doc(
                "The most bytes that are kept for reuse after tensors are gone.",
                example: "> riffle.memory.cache_limit() >= 0\ntrue")
        ) {
            if let bytes = $0.optionalInteger(0) { rk_memory_set_cache_limit(bytes) }
            return [.integer(Int(rk_memory_now().cache_limit))]
        },
        Function(
            "memory.clear_cache", [],
            Doc(
                "Gives the bytes kept for reuse back to the system.",
                example: "> riffle.memory.clear_cache(); return riffle.memory.stats().cached\n0")
        ) { _ in
            rk_memory_clear_cache()
            return []
        },
        Function("memory.reset_peak", [], Doc("Counts the peak from now on.", example: "> riffle.memory.reset_peak()"))
        { _ in
            rk_memory_reset_peak()
            return []
        },
    ]

    /// Without documentation: the prelude alone sees these.
    static let classes: [ObjectClass] = [
        ObjectClass(
            "progress_bar", Progress.self, Doc(""),
            methods: [
                Method("advance", [Argument("step", .integer(0...Int.max))], Doc("")) { bar, arguments in
                    bar.advance(to: arguments.integer(0))
                    return []
                },
                Method("finish", [], Doc("")) { bar, _ in
                    bar.finish()
                    return []
                },
            ]),
        ObjectClass("held", Held.self, Doc("")),
        ObjectClass("forward_level", ForwardLevel.self, Doc("")),
    ]
}
