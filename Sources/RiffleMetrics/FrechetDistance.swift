import RiffleTensor

extension Metrics {
    /// The Frechet distance between the normal distributions with the samples' means and covariances, not rooted; on
    /// features of an image network it is known as FID.
    ///
    ///     |m - n|^2 + tr S + tr T - 2 tr (S^1/2 T S^1/2)^1/2
    ///
    /// In float64. It is biased upwards by about (features)^2 / samples: compare at equal numbers of samples, many more than
    /// features.
    /// - Parameters:
    ///   - a: features `[n, ...]`; all but the first dimension are coordinates.
    ///   - b: features `[m, ...]`.
    /// - Throws: `RiffleError` when shapes do not fit, there are fewer than two samples, or numbers are not finite.
    /// - Source: Heusel et al. 2017, equation 6; Dowson and Landau 1982.
    public static func frechetDistance(_ a: Tensor, _ b: Tensor) throws -> Double {
        let (x, y) = try pair(a, b)
        guard x.shape[0] > 1, y.shape[0] > 1 else { throw RiffleError("", "two samples or more have a covariance (a \(a.shape), b \(b.shape))") }
        return try withoutGradient {
            let (s, t) = (try Moments(x), try Moments(y))
            let root = try squareRoot(s.covariance)
            let mixed = try squareRoot(root.matmul(t.covariance).matmul(root))
            let apart = try (s.mean - t.mean).square().sum().item()
            return max(0, apart + (try trace(s.covariance)) + (try trace(t.covariance)) - 2 * (try trace(mixed)))
        }
    }

    private struct Moments {
        let mean: Tensor
        /// With n - 1 below, as numpy's.
        let covariance: Tensor

        init(_ rows: Tensor) throws {
            let x = try rows.converted(to: .float64)
            mean = try x.mean([0])
            let centred = try x - mean
            covariance = try centred.matmul(centred, transposeA: true) / Double(x.shape[0] - 1)
        }
    }

    private static func trace(_ matrix: Tensor) throws -> Double {
        let (n, numbers) = (matrix.shape[0], try matrix.doubles())
        return (0..<n).reduce(0) { $0 + numbers[$1 * n + $1] }
    }

    /// The square root of a symmetric matrix without negative eigenvalues, by products alone: Newton's iteration as Schulz
    /// coupled it (Higham 2008, Functions of Matrices, equation 6.35). An eigenvalue e takes about 1.7 log(trace / e) of them.
    private static func squareRoot(_ matrix: Tensor) throws -> Tensor {
        let n = matrix.shape[0], scale = try trace(matrix)
        guard scale > 0 else { return matrix }
        let one = try Tensor((0..<n * n).map { $0 % (n + 1) == 0 ? 1.0 : 0 }, [n, n])
        var (root, inverse, last) = (try matrix / scale, one, 0.0)
        for _ in 0..<60 {
            try Interrupt.check()
            let step = try (one * 3 - inverse.matmul(root)) * 0.5
            (root, inverse) = (try root.matmul(step), try step.matmul(inverse))
            let sum = try trace(root)
            if abs(sum - last) < 1e-13 * sum { break }
            last = sum
        }
        return try root * scale.squareRoot()
    }
}
