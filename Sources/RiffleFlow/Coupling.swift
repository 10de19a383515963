import CKernels
import RiffleNN
import RiffleTensor

/// Which noise goes with which sample of data in a batch.
package enum Coupling: String, Sendable, CaseIterable {
    /// In the order in which both were drawn, so that any noise may be paired with any sample.
    case independent
    /// The optimal transport between the two sides of the batch: the sum of |x0_i - x1_i|^2 is least (Pooladian et al.
    /// 2023; Tong et al. 2023). Where data have classes, it is one within each class: over the whole batch the noise of
    /// a class would not be normal, and at sampling it is.
    case optimal

    /// The noise in the order in which it goes with the data.
    ///
    /// The optimal order is exact and the same on every machine. It takes an n x n matrix of float64 and O(n^3) time:
    /// one or two tenths of a second for a batch of 1024.
    /// - Parameters:
    ///   - noise: x0 [n, ...].
    ///   - data: x1, of the same shape.
    ///   - condition: what the data are conditioned on, classes where anything.
    /// - Returns: the rows of `noise`, each once.
    /// - Throws: `RiffleError` when the shapes differ, a number is not finite, the matrix does not fit into memory, or
    ///   the data are conditioned on a text.
    package func pair(_ noise: Tensor, with data: Tensor, _ condition: Condition? = nil) throws -> Tensor {
        guard self == .optimal else { return noise }
        guard noise.shape == data.shape, data.rank >= 1, noise.dtype.isFloating, data.dtype.isFloating else {
            throw RiffleError(
                "coupling",
                "noise and data must be batches [n, ...] of floats of one shape "
                    + "(noise \(noise.dtype) \(noise.shape), data \(data.dtype) \(data.shape))")
        }
        guard data.count > 0, data.shape[0] > 1 else { return noise }
        guard let condition else { return try noise.take(Coupling.columns(noise, data)) }
        var order = [Int32](repeating: 0, count: data.shape[0])
        for rows in try Coupling.groups(condition, data.shape[0]) {
            // The class's own rows of the noise, in the order in which they go with the class's data.
            let index = try Tensor(rows.map { Int32($0 + 1) }, [rows.count])
            let columns = try Coupling.columns(noise.take(index), data.take(index)).doubles()
            for (row, column) in zip(rows, columns) { order[row] = Int32(rows[Int(column) - 1] + 1) }
        }
        return try noise.take(Tensor(order, [order.count]))
    }

    /// The rows of the noise that go with the rows of the data, from 1.
    private static func columns(_ noise: Tensor, _ data: Tensor) throws -> Tensor {
        try Assignment(costs: squaredDistances(data, noise)).columns()
    }

    /// The rows of each class, from 0.
    private static func groups(_ condition: Condition, _ n: Int) throws -> [[Int]] {
        guard let labels = condition.tensors.first, condition.tensors.count == 1, labels.dtype == .int32,
            labels.shape == [n]
        else {
            throw RiffleError(
                "coupling",
                "an optimal coupling pairs noise with data within each class, and a text has none; labels are one "
                    + "int32 tensor [\(n)]; take coupling = 'independent'")
        }
        let numbers = labels.elements(Int32.self)
        return Dictionary(grouping: 0..<n) { numbers[$0] }.sorted { $0.key < $1.key }.map(\.value)
    }

    /// |x_i - y_j|^2 for all pairs of n samples: float64 [n, n].
    private static func squaredDistances(_ x: Tensor, _ y: Tensor) throws -> Tensor {
        let n = x.shape[0]
        let size = x.count / n
        let distances: Tensor
        do {
            distances = try Tensor(uninitialized: [n, n], .float64)
        } catch let error as RiffleError {
            let bytes =
                n.multipliedReportingOverflow(by: n).overflow ? "more than any memory" : readable(bytes: n * n * 8)
            throw RiffleError(
                "coupling",
                "an optimal coupling of \(n) samples takes a matrix of \(bytes); use a smaller batch "
                    + "(\(error.message))",
                kind: error.kind)
        }
        let (x, y) = (try x.detach().converted(to: .float64), try y.detach().converted(to: .float64))
        try withExtendedLifetime((x, y, distances)) {
            let (x, y) = (x.elements(Double.self), y.elements(Double.self))
            let numbers = distances.elements(Double.self)
            for first in stride(from: 0, to: n, by: 1024) {
                try Interrupt.check()
                rk_squared_distances(
                    min(1024, n - first), n, size, x.baseAddress.map { $0 + first * size }, y.baseAddress,
                    numbers.baseAddress.map { $0 + first * n })
            }
        }
        guard distances.nonfiniteCount == 0 else {
            throw RiffleError("coupling", "noise or data holds numbers that are NaN, infinite, or too far apart")
        }
        return distances
    }
}

/// The assignment of a column to each row of a square matrix of costs that has the least sum.
private struct Assignment {
    private let costs: Tensor
    /// The columns' dual variables, distances and levels, [3, n].
    private let numbers: Tensor
    /// The columns of rows, the rows of columns, and scratch space, [4, n].
    private let indices: Tensor

    /// - Parameter costs: float64 [n, n], all finite.
    init(costs: Tensor) throws {
        self.costs = costs
        numbers = try Tensor(uninitialized: [3, costs.shape[0]], .float64)
        indices = try Tensor(uninitialized: [4, costs.shape[0]], .int32)
    }

    /// The rows' columns, counted from 1: int32 [n].
    func columns() throws -> Tensor {
        let n = costs.shape[0]
        let number = numbers.pointer.assumingMemoryBound(to: Double.self)
        let index = indices.pointer.assumingMemoryBound(to: Int32.self)
        var work = rk_assignment(
            n: n, cost: costs.pointer.assumingMemoryBound(to: Double.self), column: index, row: index + n, v: number,
            distance: number + n, level: number + 2 * n, from: index + 2 * n, scanned: index + 3 * n)
        return try withExtendedLifetime(self) {
            rk_assignment_begin(&work)
            for row in 0..<n {
                if row % 64 == 0 { try Interrupt.check() }
                rk_assignment_add(&work, row)
            }
            return try Tensor((0..<n).map { index[$0] + 1 }, [n])
        }
    }
}
