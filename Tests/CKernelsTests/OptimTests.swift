import CKernels
import Testing

@Suite struct OptimTests {
    /// The largest difference between the vectors, relative to the largest number.
    static func error(_ a: [Float], _ b: [Double]) -> Double { relativeError(a, b) }

    @Test(arguments: [0, 1, 37, 40_001])
    func adamwFollowsItsDefinition(count: Int) {
        let start = noise(count, seed: 11)
        let slopes = (0..<5).map { noise(count, seed: 20 + UInt64($0)) }
        let lr = 0.01
        let beta1 = 0.9
        let beta2 = 0.999
        let eps = 1e-8
        let decay = 0.1
        let scale = 0.5
        var p = start
        var m = [Double](repeating: 0, count: count)
        var v = m
        func settings(_ step: Int) -> rk_adamw_settings {
            let c1 = 1 - (0..<step).reduce(1.0) { a, _ in a * beta1 }
            let c2 = 1 - (0..<step).reduce(1.0) { a, _ in a * beta2 }
            return rk_adamw_settings(
                lr: lr, beta1: beta1, beta2: beta2, eps: eps, weight_decay: decay, correction1: c1, correction2: c2,
                grad_scale: scale)
        }
        for (step, g) in slopes.enumerated() {
            let s = settings(step + 1)
            for i in 0..<count {
                p[i] -= lr * decay * p[i]
                m[i] = beta1 * m[i] + (1 - beta1) * g[i] * scale
                v[i] = beta2 * v[i] + (1 - beta2) * g[i] * scale * g[i] * scale
                p[i] -= lr * (m[i] / s.correction1) / ((v[i] / s.correction2).squareRoot() + eps)
            }
        }
        let run = { () -> [[Float]] in
            var p32 = start.f32
            var m32 = [Float](repeating: 0, count: count)
            var v32 = m32
            for (step, g) in slopes.enumerated() {
                var s = settings(step + 1)
                rk_adamw(&s, &p32, g.f32, &m32, &v32, count)
            }
            return [p32, m32, v32]
        }
        atEachLevel { level in
            let errors = zip(run(), [p, m, v]).map { Self.error($0, $1) }
            #expect(errors.allSatisfy { $0 < 5e-7 }, "level \(level.rawValue): \(errors)")
        }
        #expect(sameForAnyThreads(run))
    }

    @Test(arguments: [(0.0, false), (0.9, false), (0.9, true)], [0, 1, 37, 40_001])
    func sgdFollowsItsDefinition(kind: (Double, Bool), count: Int) {
        let start = noise(count, seed: 12)
        let slopes = (0..<4).map { noise(count, seed: 30 + UInt64($0)) }
        let (momentum, nesterov) = kind
        var settings = rk_sgd_settings(
            lr: 0.1, momentum: momentum, weight_decay: 0.01, grad_scale: 2, nesterov: nesterov)
        var p = start
        var buffer = [Double](repeating: 0, count: count)
        for g in slopes {
            for i in 0..<count {
                let d = 2 * g[i] + 0.01 * p[i]
                buffer[i] = momentum * buffer[i] + d
                p[i] -= 0.1 * (nesterov ? d + momentum * buffer[i] : buffer[i])
            }
        }
        for withBuffer in momentum == 0 ? [true, false] : [true] {
            var p32 = start.f32
            var buffer32 = [Float](repeating: 0, count: count)
            for g in slopes {
                if withBuffer {
                    rk_sgd(&settings, &p32, g.f32, &buffer32, count)
                } else {
                    rk_sgd(&settings, &p32, g.f32, nil, count)
                }
            }
            #expect(Self.error(p32, p) < 5e-7)
        }
    }

    @Test func averagesChangeByTheWeight() {
        let p = noise(1001, seed: 13)
        let start = noise(1001, seed: 14)
        atEachLevel { _ in
            var average = start.f32
            rk_lerp(0.25, p.f32, &average, 1001)
            #expect(Self.error(average, zip(start, p).map { $0 + 0.25 * ($1 - $0) }) < 2e-7)
        }
    }
}
