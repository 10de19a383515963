import RiffleNN
import RiffleTensor

/// Jumps to be made, a sample each: from x [n, ...] at times s [n] to times t [n].
struct Jumps {
    let x: Tensor
    let s: Tensor
    let t: Tensor
    let condition: Condition?

    var count: Int { x.shape[0] }

    /// t - s, to go along x.
    func span() throws -> Tensor { try (t - s).alongside(x) }

    func rows(_ range: Range<Int>) throws -> Jumps {
        Jumps(
            x: try x.sliced(0, range), s: try s.sliced(0, range), t: try t.sliced(0, range),
            condition: try condition?.rows(range))
    }

    /// The jumps of no length at the starts.
    var starts: Jumps { to(s) }

    func to(_ t: Tensor) -> Jumps { Jumps(x: x, s: s, t: t, condition: condition) }
    func from(_ x: Tensor, _ s: Tensor) -> Jumps { Jumps(x: x, s: s, t: t, condition: condition) }
    func from(_ x: Tensor, _ s: Tensor, to t: Tensor) -> Jumps { Jumps(x: x, s: s, t: t, condition: condition) }

    /// Where the jumps end that go at an average velocity u.
    func end(_ u: Tensor) throws -> Tensor { try x + span() * u }
}

/// A batch of data on its way from noise, with the times of jumps.
struct FlowBatch {
    let noise: Tensor
    let data: Tensor
    /// From the points of the path at s.
    let jumps: Jumps
    /// The path's own velocity at those points.
    let velocity: Tensor
    /// Which part it is of a whole batch.
    let share: Double

    /// Points x_s of the path for fresh noise, coupled as the options say.
    /// - Parameters:
    ///   - asked: the networks that will be told the condition, by their roles; all must know the label for none where
    ///   labels are dropped.
    ///   - times: of the jumps, [n] each; drawn as the options say when nil.
    /// - Throws: `RiffleError` where the data are no batch of floats, or labels do not match it.
    init(
        _ data: Tensor, _ condition: Condition?, _ options: LossOptions, for asked: [(role: String, network: Network)],
        operation: String,
        noise: Tensor? = nil, times: (s: Tensor, t: Tensor)? = nil, share: Double = 1
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
        self.noise = try noise ?? options.coupling.pair(.randn(data.shape, data.dtype), with: data)
        (self.data, self.share) = (data, share)
        let condition = try condition.map { try $0.dropping(options.labelDropout, asked) }
        jumps = Jumps(
            x: try options.path.point(self.noise, data, times.s), s: times.s, t: times.t, condition: condition)
        velocity = try options.path.velocity(self.noise, data, times.s)
    }

    /// Some rows of a batch.
    private init(_ batch: FlowBatch, _ range: Range<Int>) throws {
        (noise, data) = (try batch.noise.sliced(0, range), try batch.data.sliced(0, range))
        (jumps, velocity) = (try batch.jumps.rows(range), try batch.velocity.sliced(0, range))
        share = Double(range.count) / Double(batch.count)
    }

    var count: Int { jumps.count }

    /// How many of n samples a fraction is: where it is neither 0 nor 1, neither none nor all of two or more, and one
    /// sample with that chance.
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

    /// The first part of the batch, one sample at least where it is more than none.
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
    /// With a part of the samples' conditions replaced by "none", which every network that is told must know.
    fileprivate func dropping(_ part: Double, _ asked: [(role: String, network: Network)]) throws -> Condition {
        for (role, network) in asked where part > 0 {
            _ = try acting(as: role) { try network.conditioning.null(like: self) }
        }
        return try asked.first.map { try dropping(part, $0.network.conditioning) } ?? self
    }
}

/// Jumps of one network gathered into a single call.
struct Gathered {
    private var questions: [Jumps] = []

    mutating func add(_ jumps: Jumps) { questions.append(jumps) }

    /// The network's answers in the order of the questions.
    func ask(_ body: (Jumps) throws -> Tensor) throws -> [Tensor] {
        if questions.count == 1 { return [try body(questions[0])] }
        let conditions = questions.compactMap(\.condition)
        let answer = try body(
            Jumps(
                x: .cat(questions.map(\.x)), s: .cat(questions.map(\.s)), t: .cat(questions.map(\.t)),
                condition: conditions.isEmpty ? nil : .cat(conditions)))
        return try answer.split(questions.map(\.count))
    }
}
