import CKernels
import RiffleTensor

/// Factorisations of float64 matrices by LAPACK, each checked before anyone uses it.
///
/// A tensor [n, m] is LAPACK's m x n matrix, whose columns follow one another. There are libraries that compute wrongly
/// on processors that they do not know, which ends in an error here: a factorisation and its matrix have to do the same
/// to a random vector, and singular values have to keep sums of powers that the matrix gives without them.
enum LinearAlgebra {
    /// The largest relative error that a result may have; rounding takes 1e-13 for 2048 features.
    static let tolerance = 1e-10

    /// R of A = Q R as a square matrix, so that R^T R = A^T A without A^T A's loss of half the digits.
    /// - Parameter a: m x n with m >= n.
    static func triangle(_ a: Tensor) throws -> Tensor {
        let n = a.shape[0]
        let m = a.shape[1]
        let factors = try a.copied()
        try lapack("QR", factors, .scratch(n), .scratch(64 * n)) { numbers in
            let info = rk_lapack_qr(m, n, numbers[0], numbers[1], numbers[2])
            // Below the diagonal, which is behind it in memory, a column holds parts of Q.
            for column in 0..<(n - 1) {
                (numbers[0] + column * m + column + 1).update(repeating: 0, count: n - column - 1)
            }
            return info
        }
        let r = try factors.sliced(1, 0..<n)
        let probe = try Tensor.probe(n)
        let size = try a.square().sum().item() * probe.length()
        func square(_ x: Tensor) throws -> Tensor { try probe.matmul(x).matmul(x, transposeB: true) }
        try agree("a QR factorisation", square(a), square(r), size: size)
        return r
    }

    /// A B^T, as the matrix with no fewer rows than columns: its transpose where A has fewer rows than B.
    /// - Parameters:
    ///   - a: m x k.
    ///   - b: n x k.
    static func product(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        guard a.shape[1] >= b.shape[1] else { return try product(b, a) }
        let m = a.shape[1]
        let n = b.shape[1]
        let k = a.shape[0]
        let c = try Tensor.scratch(n, m)
        try lapack("a product", a, b, c) { numbers in
            rk_lapack_product(m, n, k, numbers[0], numbers[1], numbers[2])
            return 0
        }
        let probe = try Tensor.probe(n)
        let size = try a.length() * b.length() * probe.length()
        try agree("a product", probe.matmul(b, transposeB: true).matmul(a), probe.matmul(c), size: size)
        return c
    }

    /// The singular values of a matrix, largest first.
    /// - Parameter c: m x n with m >= n.
    static func singularValues(_ c: Tensor) throws -> [Double] {
        let form = try Bidiagonal(c)
        let n = c.shape[0]
        let values = try Tensor(form.diagonal, [n])
        let above = try Tensor(form.above, [n])
        try lapack("singular values", values, above, .scratch(4 * n)) {
            rk_lapack_singular_values(n, $0[0], $0[1], $0[2])
        }
        let found = try values.doubles()
        let (second, fourth) = form.powerSums
        try agree("singular values", second, found.reduce(0) { $0 + $1 * $1 }, size: second)
        try agree("singular values", fourth, found.reduce(0) { $0 + $1 * $1 * $1 * $1 }, size: fourth)
        return found
    }

    /// The eigenvalues of a symmetric matrix, smallest first, and its eigenvectors, a row each.
    /// - Parameter s: n x n.
    static func eigenvectors(_ s: Tensor) throws -> (values: Tensor, vectors: Tensor) {
        let n = s.shape[0]
        // LAPACK counts its work space, 2 n^2 numbers, in 32 bits.
        guard n <= 30_000 else { throw RiffleError("", "a covariance has 30000 features at most, got \(n)") }
        let vectors = try s.copied()
        let values = try Tensor.scratch(n)
        try lapack("eigenvectors", vectors, values, .scratch(1 + 6 * n + 2 * n * n), .scratch(3 + 5 * n)) { numbers in
            numbers[3].withMemoryRebound(to: Int64.self, capacity: 3 + 5 * n) {
                rk_lapack_eigenvectors(n, numbers[0], numbers[1], numbers[2], $0)
            }
        }
        let probe = try Tensor.probe(n)
        let turned = try probe.matmul(vectors, transposeB: true)
        try agree("an orthogonal matrix", probe.length(), turned.length(), size: probe.length())
        let size = try s.length() * probe.length()
        try agree("eigenvectors", probe.matmul(s), (turned * values).matmul(vectors), size: size)
        return (values, vectors)
    }

    /// Calls LAPACK with pointers to the numbers of tensors. LAPACK may change the tensors that are made for
    /// the call.
    /// - Throws: `RiffleError` where there is no LAPACK, or it returns a code that is not 0.
    fileprivate static func lapack(
        _ name: String, _ tensors: Tensor..., call: ([UnsafeMutablePointer<Double>]) -> Int32
    ) throws {
        let lapack = Processor.lapack
        guard lapack.name != nil else { throw RiffleError("", lapack.problem ?? "LAPACK was not found") }
        let info = withExtendedLifetime(tensors) {
            call(tensors.map { $0.pointer.assumingMemoryBound(to: Double.self) })
        }
        guard info == 0 else { throw RiffleError("", "LAPACK (\(library)) gave up on \(name) with code \(info)") }
    }

    fileprivate static func agree(_ name: String, _ wanted: Double, _ found: Double, size: Double) throws {
        guard !(abs(wanted - found) <= tolerance * size) else { return }
        throw RiffleError(
            "",
            "LAPACK (\(library)) computed \(name) wrongly, by \(riffleFormat(abs(wanted - found) / size)) of the size; "
                + "name another library by RIFFLE_BLAS, or other kernels of OpenBLAS by OPENBLAS_CORETYPE=Haswell")
    }

    fileprivate static func agree(_ name: String, _ wanted: Tensor, _ found: Tensor, size: Double) throws {
        try agree(name, 0, (wanted - found).length(), size: size)
    }

    private static var library: String { Processor.lapack.name ?? "none" }
}

/// C = Q B P^T with Q and P orthogonal and B upper bidiagonal.
private struct Bidiagonal {
    /// The n numbers on B's diagonal.
    let diagonal: [Double]
    /// The numbers to the right of the diagonal, and a 0 behind them.
    let above: [Double]

    /// - Parameter c: m x n with m >= n.
    init(_ c: Tensor) throws {
        let n = c.shape[0]
        let m = c.shape[1]
        let factors = try c.copied()
        let work = try Tensor.scratch(64 * (m + n))
        let diagonal = try Tensor.scratch(n)
        let above = try Tensor.scratch(n)
        let tauQ = try Tensor.scratch(n)
        let tauP = try Tensor.scratch(n)
        try LinearAlgebra.lapack("a bidiagonal form", factors, diagonal, above, tauQ, tauP, work) {
            rk_lapack_bidiagonal(m, n, $0[0], $0[1], $0[2], $0[3], $0[4], $0[5])
        }
        self.diagonal = try diagonal.doubles()
        self.above = try Array(above.doubles().dropLast()) + [0]

        // C x = Q (B (P^T x)), and neither Q nor P changes a vector's length.
        let probe = try Tensor.probe(n)
        let size = try c.length() * probe.length()
        let turned = try probe.copied()
        try LinearAlgebra.lapack("P", factors, tauP, turned, work) {
            rk_lapack_apply_p(m, n, $0[0], $0[1], $0[2], $0[3])
        }
        try LinearAlgebra.agree("an orthogonal matrix", probe.length(), turned.length(), size: probe.length())
        let middle = try Tensor(times(turned.doubles()) + [Double](repeating: 0, count: m - n), [1, m])
        let result = try middle.copied()
        try LinearAlgebra.lapack("Q", factors, tauQ, result, work) {
            rk_lapack_apply_q(m, n, $0[0], $0[1], $0[2], $0[3])
        }
        try LinearAlgebra.agree("an orthogonal matrix", middle.length(), result.length(), size: size)
        try LinearAlgebra.agree("a bidiagonal form", probe.matmul(c), result, size: size)
    }

    private func times(_ x: [Double]) -> [Double] {
        x.indices.map { diagonal[$0] * x[$0] + ($0 + 1 < x.count ? above[$0] * x[$0 + 1] : 0) }
    }

    /// The sums of the squared entries of B and of B^T B.
    var powerSums: (second: Double, fourth: Double) {
        diagonal.indices.reduce(into: (0, 0)) { sums, index in
            let before = index > 0 ? above[index - 1] : 0
            let beside = diagonal[index] * above[index]
            let square = diagonal[index] * diagonal[index] + before * before
            sums.0 += square
            sums.1 += square * square + 2 * beside * beside
        }
    }
}

extension Tensor {
    /// A tensor to write to, counted as all tensors are.
    fileprivate static func scratch(_ sizes: Int...) throws -> Tensor {
        try Tensor(uninitialized: Shape(sizes), .float64)
    }

    /// The same numbers in memory of their own.
    fileprivate func copied() throws -> Tensor { Tensor(storage: try storage.copy(), shape: shape, dtype: dtype) }

    /// A row of random numbers, the same each time.
    fileprivate static func probe(_ count: Int) throws -> Tensor {
        var random = RandomSource(seed: 0)
        return try random.normal([1, count], .float64)
    }

    fileprivate func length() throws -> Double { try square().sum().item().squareRoot() }
}
