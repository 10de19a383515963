import RiffleTensor

/// Threads, memory and versions.
enum SystemLibrary {
    /// When the first engine of the process began.
    static let started = ContinuousClock.now

    static let functions: [Function] = [
        Function("version", [], Doc("Riffle's version.", example: "> riffle.version()\n\(Version.text)")) { _ in
            [.string(Version.text)]
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
            if let count = $0.optionalInteger("count") { Processor.threads = count }
            return [.integer(Processor.threads)]
        },
        Function(
            "memory.stats", [],
            Doc(
                "Bytes of tensor memory: live, peak, cached for reuse, and the limits on live and cached. Prints them "
                    + "in words, too.",
                example: "> riffle.memory.stats().live <= riffle.memory.stats().limit\ntrue")
        ) { _ in
            let memory = Memory.now
            return [
                .table([
                    "live": .integer(memory.live), "peak": .integer(memory.peak), "cached": .integer(memory.cached),
                    "limit": .integer(memory.limit), "cache_limit": .integer(memory.cacheLimit),
                ])
            ]
        },
        Function(
            "memory.limit", [Argument("bytes", .bytes, "0 for four fifths of what there is", default: .none)],
            Doc(
                "The most bytes that tensors may use; beyond it an operation raises an error.",
                example: "> riffle.memory.limit() > 0\ntrue")
        ) {
            if let bytes = $0.optionalInteger("bytes") { Memory.setLimit(bytes) }
            return [.integer(Memory.now.limit)]
        },
        Function(
            "memory.cache_limit", [Argument("bytes", .bytes, default: .none)],
            Doc(
                "The most bytes that are kept for reuse after tensors are gone.",
                example: "> riffle.memory.cache_limit() >= 0\ntrue")
        ) {
            if let bytes = $0.optionalInteger("bytes") { Memory.setCacheLimit(bytes) }
            return [.integer(Memory.now.cacheLimit)]
        },
        Function(
            "memory.clear_cache", [],
            Doc(
                "Gives the bytes kept for reuse back to the system.",
                example: "> riffle.memory.clear_cache(); return riffle.memory.stats().cached\n0")
        ) { _ in
            Memory.clearCache()
            return []
        },
        Function("memory.reset_peak", [], Doc("Counts the peak from now on.", example: "> riffle.memory.reset_peak()"))
        { _ in
            Memory.resetPeak()
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
