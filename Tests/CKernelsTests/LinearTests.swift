import CKernels
import Glibc
import Testing

/// A product's shape and form; rows are stored with gaps of 3 elements, and each matrix with a gap behind it.
struct Product: CustomStringConvertible, Sendable {
    var batch = 1
    var m: Int, n: Int, k: Int
    var transposeA = false, transposeB = false, repeatB = false
    var alpha = 1.0, beta = 0.0
    var bias = false
    var precision = RK_FLOAT32

    var description: String {
        "\(batch) x [\(m), \(n), \(k)] \(transposeA ? "T" : "N")\(transposeB ? "T" : "N") alpha \(alpha) beta \(beta)"
            + " bias \(bias)"
    }

    var lda: Int { (transposeA ? m : k) + 3 }
    var ldb: Int { (transposeB ? k : n) + 3 }
    var ldc: Int { n + 3 }
    var strideA: Int { lda * (transposeA ? k : m) + 5 }
    var strideB: Int { ldb * (transposeB ? n : k) + 5 }
    var strideC: Int { ldc * m + 5 }

    /// The indices of C's numbers.
    var indices: [Int] { (0..<m).flatMap { i in (0..<n).map { i * ldc + $0 } } }

    func run<T: BitwiseCopyable>(_ dtype: rk_dtype, _ a: [T], _ b: [T], _ c: [T], _ biasValues: [T]) -> [T] {
        var c = c
        biasValues.withUnsafeBytes { pointer in
            var shape = shape(pointer.baseAddress)
            rk_gemm(dtype, &shape, a, b, &c)
        }
        return c
    }

    /// The same with B of bfloat16.
    func run(_ a: [Float], _ b: [UInt16], _ c: [Float], _ biasValues: [Float]) -> [Float] {
        var c = c
        biasValues.withUnsafeBytes { pointer in
            var shape = shape(pointer.baseAddress)
            #expect(rk_gemm_bfloat16(&shape, a, b, &c))
        }
        return c
    }

    private func shape(_ biasValues: UnsafeRawPointer?) -> rk_gemm_shape {
        rk_gemm_shape(
            batch: batch, m: m, n: n, k: k, transpose_a: transposeA, transpose_b: transposeB, lda: lda, ldb: ldb,
            ldc: ldc, stride_a: strideA, stride_b: repeatB ? 0 : strideB, stride_c: strideC, alpha: alpha,
            beta: beta, bias: bias ? biasValues : nil, precision: precision)
    }

    func inputs(seed: UInt64) -> (a: [Double], b: [Double], c: [Double], bias: [Double]) {
        (
            noise(batch * strideA, seed: seed), noise(batch * strideB, seed: seed + 1),
            noise(batch * strideC, seed: seed + 2),
            noise(n + 1, seed: seed + 3)
        )
    }
}

@Suite(.serialized) struct LinearTests {
    /// By hand: [1 2; 3 4] [5 6; 7 8], in all four forms of storage.
    @Test(arguments: [false, true], [false, true]) func plainProductIsTheDefinition(ta: Bool, tb: Bool) {
        let a: [Double] = ta ? [1, 3, 2, 4] : [1, 2, 3, 4]
        let b: [Double] = tb ? [5, 7, 6, 8] : [5, 6, 7, 8]
        var c: [Double] = [.nan, .nan, .nan, .nan]
        var shape = rk_gemm_shape()
        (shape.batch, shape.m, shape.n, shape.k, shape.lda, shape.ldb, shape.ldc) = (1, 2, 2, 2, 2, 2, 2)
        (shape.transpose_a, shape.transpose_b, shape.alpha) = (ta, tb, 1)
        rk_gemm(RK_F64, &shape, a, b, &c)
        #expect(c == [19, 22, 43, 50])
    }

    static let sizes: [(Int, Int, Int, Int)] = [
        (1, 0, 5, 3), (1, 5, 0, 3), (0, 2, 2, 2), (1, 4, 5, 0), (3, 1, 1, 1), (1, 1, 300, 70), (1, 300, 1, 70),
        (2, 7, 13, 5), (5, 33, 65, 17), (1, 130, 200, 90), (1, 67, 31, 4100), (1, 3, 5, 9000), (1, 700, 260, 130),
        (40, 65, 64, 33), (1, 3, 140, 75), (1, 500, 4, 75), (1, 2, 2, 1000), (1, 600, 530, 300), (6, 100, 40, 40),
    ]

    static let products: [Product] = sizes.flatMap { batch, m, n, k in
        [
            Product(batch: batch, m: m, n: n, k: k),
            Product(batch: batch, m: m, n: n, k: k, transposeA: true, alpha: -0.5, bias: true),
            Product(batch: batch, m: m, n: n, k: k, transposeB: true, repeatB: true, beta: 1, bias: true),
            Product(
                batch: batch, m: m, n: n, k: k, transposeA: true, transposeB: true, alpha: 0.3, beta: -2, bias: true),
        ]
    }

    @Test(arguments: products) func productMatchesPlainForm(p: Product) {
        let seed: UInt64 = 11
        let (a, b, c, bias) = p.inputs(seed: seed)
        var start = c.f32
        if p.beta == 0 {  // what C held must not matter, not even NaN
            for i in 0..<p.batch {
                for r in 0..<p.m { for j in 0..<p.n { start[i * p.strideC + r * p.ldc + j] = .nan } }
            }
        }
        let plain = p.run(RK_F64, a, b, c, bias)
        atEachLevel { level in
            let error = relativeError(p.run(RK_F32, a.f32, b.f32, start, bias.f32), plain)
            #expect(error < 3e-6, "seed \(seed), level \(level.rawValue)")
        }
        #expect(sameForAnyThreads { [p.run(RK_F32, a.f32, b.f32, start, bias.f32)] }, "seed \(seed)")
        // The gaps between rows and matrices belong to the caller.
        let inside = (0..<p.batch * p.strideC).map { $0 % p.strideC < p.ldc * p.m && $0 % p.strideC % p.ldc < p.n }
        #expect(zip(inside, zip(plain, c)).allSatisfy { $0 || $1.0 == $1.1 })
    }

    /// Operands whose rows and columns span many magnitudes, in a product that is small enough to be multiplied as
    /// stored, and in a product that is packed before: each sum is within 2^-20 of the sum of its terms' magnitudes, as
    /// 200 roundings of float32 are and as it would not be if a kernel left out what it can of a number's parts
    /// (2^-17).
    @Test(arguments: [40, 500], [false, true]) func errorsAreFloat32s(m: Int, transposed: Bool) {
        let p = Product(m: m, n: 70, k: 200, transposeA: transposed, transposeB: transposed)
        let seed: UInt64 = 17
        var (a, b, c, _) = p.inputs(seed: seed)
        for i in a.indices { a[i] *= exp2(Double((i / p.lda * 7 + i % p.lda * 5) % 41 - 20)) }
        for i in b.indices { b[i] *= exp2(Double((i / p.ldb * 3 + i % p.ldb * 11) % 41 - 20)) }
        let plain = p.run(RK_F64, a, b, c, [0])
        let size = p.run(RK_F64, a.map(abs), b.map(abs), c, [0])
        atEachLevel { level in
            let y = p.run(RK_F32, a.f32, b.f32, c.f32, [0])
            let worst = largest(p.indices.map { abs(Double(y[$0]) - plain[$0]) / size[$0] })
            #expect(worst < 0x1p-20, "seed \(seed), level \(level.rawValue)")
        }
    }

    /// bfloat16 rounds both factors by 2^-9 at most, on tiles; elsewhere nothing is rounded.
    @Test(arguments: products.filter { $0.m > 30 && $0.n > 30 }) func bfloat16RoundsFactors(p: Product) {
        let seed: UInt64 = 19
        let (a, b, c, bias) = p.inputs(seed: seed)
        let plain = p.run(RK_F64, a, b, c, bias)
        var rounded = p
        rounded.precision = RK_BFLOAT16
        let size = p.run(
            RK_F64, a.map(abs), b.map(abs), [Double](repeating: 0, count: c.count),
            [Double](repeating: 0, count: bias.count))
        atEachLevel { level in
            let y = rounded.run(RK_F32, a.f32, b.f32, c.f32, bias.f32)
            if level != RK_CPU_AMX {
                #expect(y == p.run(RK_F32, a.f32, b.f32, c.f32, bias.f32), "seed \(seed), level \(level.rawValue)")
            }
            let errors = p.indices.map { abs(Double(y[$0]) - plain[$0]) / size[$0] }
            #expect(largest(errors) < 0x1p-8, "seed \(seed), level \(level.rawValue)")
        }
        #expect(sameForAnyThreads { [rounded.run(RK_F32, a.f32, b.f32, c.f32, bias.f32)] }, "seed \(seed)")
    }

    /// B of bfloat16 is multiplied as the float32 numbers are that it holds, in every form of storage.
    @Test(arguments: products.filter { $0.batch == 1 || $0.repeatB }) func halfFactorsAreWidened(p: Product) {
        let seed: UInt64 = 23
        let (a, b, c, bias) = p.inputs(seed: seed)
        var half = [UInt16](repeating: 0, count: b.count)
        rk_round_bfloat16(b.f32, &half, b.count)
        let plain = p.run(RK_F64, a, half.map { Double(Float(bitPattern: UInt32($0) << 16)) }, c, bias)
        var start = c.f32
        if p.beta == 0 {
            for i in 0..<p.batch { for index in p.indices { start[i * p.strideC + index] = .nan } }
        }
        atEachLevel { level in
            let error = relativeError(p.run(a.f32, half, start, bias.f32), plain)
            #expect(error < 3e-6, "seed \(seed), level \(level.rawValue)")
        }
        #expect(sameForAnyThreads { [p.run(a.f32, half, start, bias.f32)] }, "seed \(seed)")
    }

    /// Infinity stays infinity and is not made NaN by how a kernel computes, and numbers at the ends of the range are
    /// kept.
    @Test(arguments: [40, 500]) func extremesAreKept(m: Int) {
        let p = Product(m: m, n: 70, k: 90)
        for (number, other) in [
            (Float.infinity, 0.5), (-.infinity, 1), (.nan, 1), (3.4e38, 0.9), (1e-30, 1), (1e-40, 1), (2e38, -4),
        ] as [(Float, Float)] {
            // Row 3 of A and column 5 of B have one number each, elsewhere they are 0 or small.
            var a = [Float](repeating: 0.25, count: p.strideA), b = [Float](repeating: other, count: p.strideB)
            for q in 0..<p.k { (a[3 * p.lda + q], b[q * p.ldb + 5]) = (q == 40 ? number : 0, q == 41 ? number : 0) }
            let c = [Float](repeating: 0, count: p.strideC)
            let plain = p.run(RK_F64, a.map(Double.init), b.map(Double.init), c.map(Double.init), [0])
            atEachLevel { level in
                let y = p.run(RK_F32, a, b, c, [0])
                let wrong = mismatch(
                    p.indices.map { y[$0] }, p.indices.map { plain[$0] }, relative: 1e-6, absolute: { _ in 2e-38 })
                #expect(wrong == nil, "\(number) at level \(level.rawValue): \(wrong ?? "")")
                guard number.magnitude < 3.38e38 || !number.isFinite else { return }  // bfloat16 ends there
                var rounded = p
                rounded.precision = RK_BFLOAT16
                let same = zip(y, rounded.run(RK_F32, a, b, c, [0])).allSatisfy {
                    $0.isFinite == $1.isFinite && $0.isNaN == $1.isNaN
                }
                #expect(same, "\(number) in bfloat16")
            }
        }
    }

    /// Each process loads a BLAS at most once.
    @Test func blasIsUsedWhereItIsAskedForAlone() async {
        await #expect(processExitsWith: .success) {
            unsetenv("RIFFLE_BLAS")
            var reason: UnsafePointer<CChar>?
            #expect(rk_blas_name(&reason) == nil)
            #expect(reason.map { String(cString: $0) } == "none asked for (RIFFLE_BLAS): the kernels are built in")
        }
        await #expect(processExitsWith: .success) {
            setenv("RIFFLE_BLAS", "/no/such.so", 1)
            var reason: UnsafePointer<CChar>?
            #expect(rk_blas_name(&reason) == nil)
            #expect(reason.map { String(cString: $0) }?.hasPrefix("RIFFLE_BLAS: /no/such.so: cannot open") == true)
        }
    }
}
