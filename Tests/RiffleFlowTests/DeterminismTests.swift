import CKernels
import RiffleFlow
@testable import RiffleNN
import RiffleTensor
import Testing

/// The same seed gives the same bits, however many threads share the work.
@Suite struct DeterminismTests {
    /// The losses of a run: a teacher's steps, then those of a student.
    private func losses(threads: Int32, steps: Int, make: () throws -> Network, data: () throws -> Tensor) throws
        -> [UInt64]
    {
        let before = rk_threads()
        defer { rk_threads_set(before) }
        rk_threads_set(threads)
        Context.current.random = RandomSource(seed: 17)
        let network = try make(), teacher = try EMA(network, decay: 0.9)
        var seen: [UInt64] = []
        let optimizer = try AdamW(network.parameters.map(\.parameter), AdamW.Settings(clip: 1))
        for _ in 0..<steps {
            let report = try optimizer.step(MatchingLoss()(network, data()).total)
            seen += [try #require(report.loss).bitPattern, report.gradientNorm.bitPattern]
            try teacher.update()
        }
        let guide = try #require(teacher.model as? Network), student = try guide.twoTimed()
        let distiller = try AdamW(student.parameters.map(\.parameter), AdamW.Settings(clip: 1))
        for step in 0..<steps {
            let loss = try step % 2 == 0 ? ITVMLoss()(student, guide, data()) : LFMDLoss()(student, guide, data())
            seen.append(try #require(distiller.step(loss.total).loss).bitPattern)
        }
        return seen
    }

    @Test func mlp() throws {
        let runs = try [1, 2, 3].map {
            try losses(threads: $0, steps: 50, make: { try MLP(.init(width: 96)) }, data: { try .randn([512, 2]) })
        }
        #expect(runs[0] == runs[1] && runs[0] == runs[2])
    }

    @Test func unet() throws {
        var configuration = UNet.Configuration(image: [16, 16, 3])
        (configuration.channels, configuration.multipliers, configuration.blocks, configuration.attention) = (
            32, [1, 2], 1, [8]
        )
        configuration.dropout = 0.1
        let runs = try [1, 2].map {
            try losses(threads: $0, steps: 50, make: { try UNet(configuration) }, data: { try .randn([4, 16, 16, 3]) })
        }
        #expect(runs[0] == runs[1])
    }
}
