import RiffleFlow
import RiffleIO
import RiffleNN
import RiffleTensor

/// What decides the bytes of samples: the network with its numbers, the seed, and how samples are made.
struct SampleKey {
    let value: [String: Value]

    /// - Parameter about: what decides samples beside a network's description and numbers, such as a guidance's scale.
    /// - Throws: `RiffleError` for a network that has no description, where nothing is said about it.
    init(_ samples: NumberedSamples, about: [String: Value]) throws {
        let network = samples.network
        guard let description = NetworkDescription(network)?.value ?? (about.isEmpty ? nil : .string(network.kind))
        else {
            throw RiffleError(
                "", "samples of a \(network.kind) cannot be told from those of another one; say what it is")
        }
        var value: [String: Value] = [
            "network": description, "weights": .string(network.sha256()), "seed": .string("\(samples.seed)"),
            "sampler": .string(samples.method.rawValue), "nfe": .integer(samples.evaluations),
            "shape": .list(samples.sampleShape.sizes.map(Value.integer)),
        ]
        if [.consistency, .generate].contains(samples.method) { value["path"] = .string(samples.path.rawValue) }
        if samples.method == .generate { value["start"] = .number(samples.start) }
        if !about.isEmpty { value["about"] = .table(about) }
        self.value = value
    }

    /// What differs between the key of a folder and this one, in words, a line for each item.
    func differences(from other: Value) throws -> [String] {
        let here = try SampleKey.leaves(.table(value)), there = try SampleKey.leaves(other)
        return Set(here.keys).union(there.keys).sorted().filter { here[$0] != there[$0] }.map { name in
            "\(name) is \(there[name] ?? "nothing") there and \(here[name] ?? "nothing") here"
        }
    }

    /// The values of tables in tables as JSON, under their names with dots between.
    private static func leaves(_ value: Value) throws -> [String: String] {
        guard case .table(let table) = value else { return ["": try JSON.text(value)] }
        var leaves: [String: String] = [:]
        for (key, value) in table {
            for (name, text) in try self.leaves(value) { leaves[name.isEmpty ? key : "\(key).\(name)"] = text }
        }
        return leaves
    }
}
