import RiffleNN
import RiffleTensor

/// A loss with the parts that it is made of, for the log.
public struct Loss {
    /// A single number, to be differentiated.
    public let total: Tensor
    /// The mean of each part before its weight.
    public let parts: [(name: String, value: Double)]
}

/// The mean square of each sample's residual. [n, ...] -> [n].
func meanSquare(_ residual: Tensor) throws -> Tensor {
    guard residual.rank > 1 else { return try residual.square() }
    return try residual.square().mean(Array(1..<residual.rank))
}

/// A batch of data on the way from noise, with the times of a jump.
struct TwoTimedBatch {
    let x: Tensor
    let s: Tensor
    let t: Tensor
    let labels: Tensor?

    /// x_s = (1 - s) x0 + s x1 for fresh noise, and s <= t.
    init(_ data: Tensor, labels: Tensor?, times: TimeSampling, operation: String) throws {
        guard data.rank >= 1, data.shape[0] > 0, data.dtype.isFloating else {
            throw RiffleError(operation, "x must be a batch [n, ...] of floats with n > 0 (x \(data.dtype) \(data.shape))")
        }
        (s, t) = try times.pairs(data.shape[0], data.dtype)
        x = try LinearPath.point(.randn(data.shape, data.dtype), data, s)
        self.labels = labels
    }

    var count: Int { x.shape[0] }
}

/// Evaluations of one network gathered into a single call.
struct Gathered {
    private var rows: [(x: Tensor, s: Tensor, t: Tensor, labels: Tensor?)] = []

    mutating func add(_ x: Tensor, _ s: Tensor, _ t: Tensor, _ labels: Tensor?) { rows.append((x, s, t, labels)) }

    /// The network's answers in the order of the questions. `body` gets x, s, t and labels.
    func ask(_ body: (Tensor, Tensor, Tensor, Tensor?) throws -> Tensor) throws -> [Tensor] {
        if rows.count == 1 { return [try body(rows[0].x, rows[0].s, rows[0].t, rows[0].labels)] }
        let labels = rows.compactMap(\.labels)
        let answer = try body(
            .cat(rows.map(\.x)), .cat(rows.map(\.s)), .cat(rows.map(\.t)), labels.isEmpty ? nil : .cat(labels))
        return try answer.split(rows.map { $0.x.shape[0] })
    }
}

/// Runs `body`; an error from inside says which role the network had.
func acting<Result>(as role: String, _ body: () throws -> Result) throws -> Result {
    do {
        return try body()
    } catch let error as RiffleError {
        throw error.within(role)
    }
}
