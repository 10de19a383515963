import CKernels

/// Numbers around 0 with magnitude about 1, fixed by the seed and exact in float32.
func noise(_ count: Int, seed: UInt64) -> [Double] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let bits = (state ^ (state >> 33)) &* 0xFF51_AFD7_ED55_8CCD
        return Double(Float(Double(bits >> 40) / Double(1 << 23) - 1) * 1.7)
    }
}

extension [Double] {
    var f32: [Float] { map { Float($0) } }
}

/// max |a - b| / max |b|; infinite where a number of either is not finite, or where they are not as many.
func relativeError(_ a: [Float], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    let error = largest(zip(a, b).map { abs(Double($0) - $1) })
    return error == 0 ? 0 : error / largest(b.map(abs))
}

/// The largest number, infinite where there is NaN, which max() would pass over; 0 of none.
func largest(_ numbers: [Double]) -> Double { numbers.map { $0.isNaN ? .infinity : $0 }.max() ?? 0 }

/// NaN where the vectors have different lengths, so that no comparison holds.
func dot(_ a: [Double], _ b: [Double]) -> Double {
    a.count == b.count ? zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } : .nan
}

/// Whether `body` gives the same bits with 1, 2 and 3 threads.
func sameForAnyThreads(_ body: () -> [[Float]]) -> Bool {
    let before = rk_threads()
    defer { rk_threads_set(before) }
    let results = [1, 2, 3].map { threads in
        rk_threads_set(Int32(threads))
        return body().map { $0.map(\.bitPattern) }
    }
    return results[1] == results[0] && results[2] == results[0]
}

/// The largest difference between <gradient, direction> and the central difference of `loss` along `direction`, for
/// some random directions, relative to the largest slope.
func slopeError(of gradient: [Double], at x: [Double], seed: UInt64, loss: ([Double]) -> Double) -> Double {
    var errors: [Double] = []
    var slopes = [1e-3]
    for i in 0..<3 {
        let direction = noise(x.count, seed: seed + UInt64(i))
        let step = 1e-5
        let ahead = loss(zip(x, direction).map { $0 + step * $1 })
        let behind = loss(zip(x, direction).map { $0 - step * $1 })
        let slope = (ahead - behind) / (2 * step)
        errors.append(abs(slope - dot(gradient, direction)))
        slopes.append(abs(slope))
    }
    return largest(errors) / largest(slopes)
}
