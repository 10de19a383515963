import CKernels

/// Runs `body` once for each vector level that the processor has, on this thread.
func atEachLevel(_ body: (rk_cpu_level) throws -> Void) rethrows {
    let best = rk_cpu()
    defer { rk_cpu_set(best) }
    for level in [RK_CPU_BASELINE, RK_CPU_AVX2, RK_CPU_AVX512, RK_CPU_AMX] where level.rawValue <= best.rawValue {
        rk_cpu_set(level)
        try body(level)
    }
}

/// `count` numbers that `kernel` writes, which must leave those behind them alone; nil when it does not.
func floats(_ count: Int, _ kernel: (UnsafeMutablePointer<Float>) -> Void) -> [Float]? {
    var y = [Float](repeating: 12345, count: count + 17)
    y.withUnsafeMutableBufferPointer { kernel($0.baseAddress!) }
    return y[count...].allSatisfy { $0 == 12345 } ? Array(y[..<count]) : nil
}

func doubles(_ count: Int, _ kernel: (UnsafeMutablePointer<Double>) -> Void) -> [Double]? {
    var y = [Double](repeating: 12345, count: count + 17)
    y.withUnsafeMutableBufferPointer { kernel($0.baseAddress!) }
    return y[count...].allSatisfy { $0 == 12345 } ? Array(y[..<count]) : nil
}

/// Where a and b differ by more than `relative` of b, `absolute`, or in being finite or NaN.
func mismatch(_ a: [Float]?, _ b: [Double], relative: Double, absolute: (Int) -> Double = { _ in 1e-42 }) -> String? {
    guard let a, a.count == b.count else { return "wrote elsewhere" }
    for i in b.indices {
        let wanted = Float(b[i])
        let got = a[i]
        if wanted.isFinite && got.isFinite {
            if abs(Double(got) - b[i]) <= max(relative * abs(b[i]), absolute(i)) { continue }
        } else if wanted == got || wanted.isNaN && got.isNaN {
            continue
        } else if abs(b[i]) > 3.4028e38 && got.magnitude > 3.4028e38 {
            continue  // at the edge of overflow either is right
        }
        return "element \(i): \(got), not \(b[i])"
    }
    return nil
}

/// Numbers of all magnitudes and signs, with those that need care.
let awkward: [Float] =
    [0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, 1e-45, -1e-45, 1e-40, 1.17549435e-38, 3.4e38, -3.4e38, .infinity]
    + [-.infinity, .nan, 88.5, 89.5, -87.5, -100, -104.5, 1e5, 3e6, -1e10, 16_777_216, 0.625, 0.93, 2_147_483_648]
    + (-60..<60).map { Float(sign: $0 % 2 == 0 ? .plus : .minus, exponent: $0, significand: 1.2345678) }
