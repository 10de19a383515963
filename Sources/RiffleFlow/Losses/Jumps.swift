import RiffleNN
import RiffleTensor

/// The jumps of n samples: from x [n, ...] at times s [n] to times t [n].
struct Jumps {
    let x: Tensor
    let s: Tensor
    let t: Tensor
    let condition: Condition?

    var count: Int { x.shape[0] }

    /// t - s, shaped to broadcast with x.
    func span() throws -> Tensor { try (t - s).alongside(x) }

    func rows(_ range: Range<Int>) throws -> Jumps {
        Jumps(
            x: try x.sliced(0, range), s: try s.sliced(0, range), t: try t.sliced(0, range),
            condition: try condition?.rows(range))
    }

    /// The jumps of no length at the starts. Both times are the same tensor, which spares networks the embedding of
    /// each length.
    var starts: Jumps { to(s) }

    func to(_ t: Tensor) -> Jumps { Jumps(x: x, s: s, t: t, condition: condition) }
    func from(_ x: Tensor, _ s: Tensor) -> Jumps { Jumps(x: x, s: s, t: t, condition: condition) }
    func from(_ x: Tensor, _ s: Tensor, to t: Tensor) -> Jumps { Jumps(x: x, s: s, t: t, condition: condition) }

    /// The ends of the jumps at an average velocity u.
    func end(_ u: Tensor) throws -> Tensor { try x + span() * u }
}

/// A batch of points on the path from noise to data, with the times of jumps from there.
struct FlowBatch {
    let noise: Tensor
    let data: Tensor
    /// The jumps, which begin at the points of the path at s.
    let jumps: Jumps
    /// The path's own velocity at those points.
    let velocity: Tensor
    /// The part of a whole batch that this batch is.
    let share: Double

    /// Points x_s of the path for fresh noise, coupled as the options say.
    /// - Parameters:
    ///   - networks: those that will get the condition, by their roles. All must have a label for none where labels are
    ///   dropped.
    ///   - times: of the jumps, [n] each; drawn as the options say where nil.
    ///   - own: the average velocity that leads from noise to points of the network's own, where the options ask.
    /// - Throws: `RiffleError` where the data are no batch of floats, or labels do not match it.
    init(
        _ data: Tensor, _ condition: Condition?, _ options: LossOptions,
        for networks: [(role: String, network: Network)], operation: String, noise: Tensor? = nil,
        times: (s: Tensor, t: Tensor)? = nil, share: Double = 1, own: ((Jumps) throws -> Tensor)? = nil
    ) throws {
        let n = try Self.count(data, operation)
        let times = try times ?? options.times.pairs(n, data.dtype)
        if let noise, noise.shape != data.shape {
            throw RiffleError(
                operation, "noise and x are pairs and must have one shape (noise \(noise.shape), x \(data.shape))")
        }
        if noise != nil, options.coupling != .independent {
            throw RiffleError(operation, "noise is paired with x already; coupling is for noise that is drawn")
        }
        if condition == nil, options.labelDropout > 0 {
            throw RiffleError(operation, "label_dropout drops labels, and none were given")
        }
        self.noise = try noise ?? options.coupling.pair(.randn(data.shape, data.dtype), with: data, condition)
        self.data = data
        self.share = share
        let condition = try condition.map { try $0.dropping(options.labelDropout, networks) }
        let x: Tensor
        switch options.points {
        case .path: x = try options.path.point(self.noise, data, times.s)
        case .own:
            guard let own else {
                throw RiffleError(operation, "points = 'own' needs a teacher that knows velocities there")
            }
            let zero = try Tensor.zeros([n], data.dtype)
            let first = Jumps(x: self.noise, s: zero, t: times.s, condition: condition)
            x = try first.end(own(first))
        }
        jumps = Jumps(x: x, s: times.s, t: times.t, condition: condition)
        velocity = try options.path.velocity(self.noise, data, times.s)
    }

    /// A batch for a student in its role, whose jumps may start at points of the target's own.
    init(
        _ data: Tensor, _ condition: Condition?, _ options: LossOptions, _ roles: Roles, operation: String,
        times: (s: Tensor, t: Tensor)? = nil, share: Double = 1
    ) throws {
        try self.init(
            data, condition, options, for: roles.conditioned, operation: operation, times: times, share: share,
            own: roles.hasTeacher ? { try roles.target($0) } : nil)
    }

    /// Some rows of a batch.
    private init(_ batch: FlowBatch, _ range: Range<Int>) throws {
        noise = try batch.noise.sliced(0, range)
        data = try batch.data.sliced(0, range)
        jumps = try batch.jumps.rows(range)
        velocity = try batch.velocity.sliced(0, range)
        share = Double(range.count) / Double(batch.count)
    }

    var count: Int { jumps.count }

    /// The number of samples that a fraction of n is. For a fraction between 0 and 1 that is at least 1 and less than
    /// n, and a single sample counts with the fraction as its probability.
    static func part(_ fraction: Double, of n: Int) throws -> Int {
        guard fraction > 0, fraction < 1 else { return fraction > 0 ? n : 0 }
        guard n > 1 else { return try Tensor.rand([1], .float64).item() < fraction ? n : 0 }
        return min(n - 1, max(1, Int((Double(n) * fraction).rounded())))
    }

    /// The first part of the batch and the rest of it.
    func split(_ fraction: Double) throws -> (first: FlowBatch?, rest: FlowBatch?) {
        let k = try Self.part(fraction, of: count)
        return (k > 0 ? try FlowBatch(self, 0..<k) : nil, k < count ? try FlowBatch(self, k..<count) : nil)
    }

    /// The first part of the batch, which has at least one sample where the fraction is above 0.
    func leading(_ fraction: Double) throws -> FlowBatch? {
        count == 1 && fraction > 0 ? self : try split(fraction).first
    }

    /// The size of a batch.
    static func count(_ x: Tensor, _ operation: String, named name: String = "x") throws -> Int {
        guard x.rank >= 1, x.shape[0] > 0, x.dtype.isFloating else {
            throw RiffleError(
                operation, "\(name) must be a batch [n, ...] of floats with n > 0 (\(name) \(x.dtype) \(x.shape))")
        }
        return x.shape[0]
    }
}

extension Condition {
    /// This condition with a random part of the samples conditioned on "none", which every one of the networks must
    /// know.
    fileprivate func dropping(_ part: Double, _ networks: [(role: String, network: Network)]) throws -> Condition {
        for (role, network) in networks where part > 0 {
            _ = try acting(as: role) { try network.conditioning.null(like: self) }
        }
        return try networks.first.map { try dropping(part, $0.network.conditioning) } ?? self
    }
}

/// Jumps of one network that are evaluated in a single call.
struct GatheredJumps {
    private var all: [Jumps] = []

    mutating func add(_ jumps: Jumps) { all.append(jumps) }

    /// The results of a network for each of the jumps, in the order in which the jumps were added.
    func evaluate(_ network: (Jumps) throws -> Tensor) throws -> [Tensor] {
        if all.count == 1 { return [try network(all[0])] }
        let conditions = all.compactMap(\.condition)
        let result = try network(
            Jumps(
                x: .cat(all.map(\.x)), s: .cat(all.map(\.s)), t: .cat(all.map(\.t)),
                condition: conditions.isEmpty ? nil : .cat(conditions)))
        return try result.split(all.map(\.count))
    }
}
