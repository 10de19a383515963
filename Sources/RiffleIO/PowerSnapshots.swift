import RiffleNN
import RiffleTensor

/// Power-function averages in files, from which averages of other lengths are made after training.
extension PowerEMA {
    /// Writes every average to `<prefix>-<step>-<length>.safetensors`, each file whole or not at all.
    ///
    /// The files hold the parameters as other files of the network do, and `step`, `length` and `gamma` in the
    /// metadata; an average's model that loads one goes on from its step.
    /// - Returns: the files' paths, in the order of the lengths.
    /// - Throws: `RiffleError` before an average's first update, or when a file cannot be written.
    @discardableResult
    package func snapshot(_ prefix: String) throws -> [String] {
        let steps = models.map { $0.updateCount?.updates ?? 0 }
        guard !steps.contains(0) else { throw RiffleError("", "there is nothing to write before the first update") }
        return try models.indices.map { index in
            let step = steps[index]
            let length = lengths[index]
            let profile = try PowerProfile(length: length, step: step)
            let path = "\(prefix)-\(step)-\(length).safetensors"
            try models[index].save(
                to: path, metadata: ["step": "\(step)", "length": "\(length)", "gamma": "\(profile.exponent)"])
            return path
        }
    }

    /// Sets a network's parameters to the average of any length at any step, by snapshots (EDM2, section 3.2).
    ///
    /// Snapshots are read one tensor at a time and summed in float64. The network is unchanged when anything is wrong.
    /// - Parameters:
    ///   - paths: files of `snapshot`, of one run and in any order.
    ///   - length: in (0, 1/sqrt(12)].
    ///   - step: where the average ends, at most that of the last snapshot, which is taken when it is nil.
    /// - Returns: the weight of each snapshot, and how far their mixture of profiles is from the profile asked for.
    /// - Throws: `RiffleError` that names the file when one is missing, is not a snapshot, or does not fit the network.
    @discardableResult
    package static func reconstruct(_ network: Module, snapshots paths: [String], length: Double, step: Int? = nil)
        throws -> PowerMixture
    {
        let shapes = Dictionary(uniqueKeysWithValues: try network.state().map { ($0.name, $0.tensor.shape) })
        let prefix = network.namePrefix
        let named = Dictionary(uniqueKeysWithValues: shapes.map { (prefix + $0, $1) })
        let snapshots = try paths.map { try PowerSnapshot($0, of: network.kind, named) }
        guard let first = snapshots.first, snapshots.contains(where: { $0.profile != first.profile }),
            let last = snapshots.map(\.profile.step).max()
        else {
            throw RiffleError(
                "", "two snapshots or more are needed, of different lengths or steps, got \(Set(paths).count)")
        }
        let profile = try PowerProfile(length: length, step: step ?? last)
        guard profile.step <= last else {
            throw RiffleError("", "step \(profile.step) is beyond the last snapshot, of step \(last)")
        }
        let mixture = PowerMixture(of: snapshots.map(\.profile), for: profile)
        guard mixture.error < 1 else {
            throw RiffleError(
                "",
                "these snapshots do not determine an average of length \(riffleFormat(length)) at step "
                    + "\(profile.step); others nearer to it are needed"
            )
        }
        try network.load(shapes: shapes) { name in
            try zip(snapshots, mixture.weights).reduce(Tensor.scalar(0, .float64)) { sum, part in
                try Interrupt.check()
                return try sum + part.0.file.tensor(named: prefix + name).cast(.float64) * part.1
            }
        }
        return mixture
    }
}

/// A file of `PowerEMA.snapshot`, open, whose tensors are those of a network.
private struct PowerSnapshot {
    let file: SafeTensors
    let profile: PowerProfile

    /// - Parameters:
    ///   - kind: the network's kind, for messages.
    ///   - shapes: the shapes of the network's tensors in files, by name.
    init(_ path: String, of kind: String, _ shapes: [String: Shape]) throws {
        file = try SafeTensors(path)
        guard let step = file.metadata["step"].flatMap(Int.init),
            let length = file.metadata["length"].flatMap(Double.init)
        else {
            throw RiffleError("", "'\(path)' is not a snapshot of power_ema: its metadata lack a step or a length")
        }
        do { profile = try PowerProfile(length: length, step: step) } catch let error as RiffleError {
            throw RiffleError("", "'\(path)': \(error.message)")
        }
        func misfit(_ name: String, _ problem: String) -> RiffleError {
            RiffleError("", "'\(path)' does not fit this \(kind): tensor '\(name)' \(problem)")
        }
        for entry in file.tensors where shapes[entry.name] != entry.shape {
            throw misfit(
                entry.name, shapes[entry.name].map { "is \(entry.shape), not \($0)" } ?? "is not one of its parameters")
        }
        if let missing = shapes.keys.filter({ file[$0] == nil }).min() { throw misfit(missing, "is missing") }
    }
}
