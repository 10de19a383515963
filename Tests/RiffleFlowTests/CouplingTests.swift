import CKernels
import RiffleNN
import RiffleTensor
import Testing

@testable import RiffleFlow

@Suite(.serialized) struct CouplingTests {
    init() { Context.current.random = RandomSource(seed: 8) }

    private func cost(_ noise: Tensor, _ data: Tensor) throws -> Double {
        try (noise.cast(.float64) - data.cast(.float64)).square().sum().item()
    }

    @Test(arguments: [DType.float32, .float64]) func undoesAShuffle(_ dtype: DType) throws {
        let data = try Tensor.randn([300, 4, 4, 2], dtype)
        let order = try Context.current.random.permutation(300)
        let noise = try (data + Tensor.randn(data.shape, dtype) * 1e-3).take(order)
        let paired = try Coupling.optimal.pair(noise, with: data)
        #expect(try (paired - data).abs().max().item() < 1e-2)
        #expect(paired.dtype == dtype && paired.shape == data.shape)
        #expect(try Coupling.independent.pair(noise, with: data) === noise)
    }

    /// In one dimension the optimal coupling is that of the sorted samples.
    @Test func agreesWithSorting() throws {
        let (noise, data) = (try Tensor.randn([257]), try Tensor.rand([257]))
        let paired = try Coupling.optimal.pair(noise, with: data)
        let (x0, x1) = (try noise.doubles().sorted(), try data.doubles().sorted())
        let least = zip(x0, x1).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        #expect(try abs(cost(paired, data) - least) < 1e-12 * least)
        #expect(try paired.doubles().sorted() == x0)
    }

    @Test func degenerateBatchesPass() throws {
        for shape in [[0, 2], [1, 2], [5, 0]] as [Shape] {
            #expect(try Coupling.optimal.pair(.zeros(shape), with: .ones(shape)).shape == shape)
        }
        let same = try Tensor.ones([64, 3])
        #expect(try Coupling.optimal.pair(same, with: same).doubles() == same.doubles())
    }

    /// With classes each class has its own optimal coupling with its own noise; a text has no classes.
    @Test func classesArePairedOnTheirOwn() throws {
        let n = 120, (noise, data) = (try Tensor.randn([n, 2]), try Tensor.randn([n, 2]) * 2 + 1)
        let names: [Int32] = [1, 5, 6], numbers = (0..<n).map { names[$0 % 3] }
        let labels = try Tensor(numbers, [n])
        let paired = try Coupling.optimal.pair(noise, with: data, Condition([labels]))
        for label in names {
            let rows = (0..<n).filter { numbers[$0] == label }
            let index = try Tensor(rows.map { Int32($0 + 1) }, [rows.count])
            let alone = try Coupling.optimal.pair(noise.take(index), with: data.take(index))
            #expect(try (paired.take(index) - alone).abs().max().item() == 0)
        }
        #expect(
            message {
                _ = try Coupling.optimal.pair(noise, with: data, Condition([.zeros([n, 4, 8]), .zeros([n, 8])]))
            }.contains("within each class, and a text has none"))
    }

    private func message(_ body: () throws -> Void) -> String {
        let error = #expect(throws: RiffleError.self) { try body() }
        return error?.description ?? ""
    }

    @Test func mistakesAreReported() throws {
        let pair = { try Coupling.optimal.pair($0, with: $1) }
        #expect(
            message { _ = try pair(.zeros([4, 2]), .zeros([4, 3])) }.contains(
                "noise float32 [4, 2], data float32 [4, 3]"))
        #expect(message { _ = try pair(.zeros([4], .int32), .zeros([4])) }.contains("int32 [4]"))
        #expect(message { _ = try pair(.scalar(1), .scalar(1)) }.contains("[n, ...]"))
        for strange in [Double.nan, .infinity, 1e200] {
            #expect(
                message { _ = try pair(.zeros([4, 2], .float64), .full([4, 2], strange, .float64)) }.contains(
                    "NaN, infinite"))
        }
    }

    @Test func aMatrixThatDoesNotFitIsReported() throws {
        let (noise, data) = (try Tensor.zeros([20_000, 1]), try Tensor.ones([20_000, 1]))
        rk_memory_set_limit(1 << 30)
        defer { rk_memory_set_limit(0) }
        let error = #expect(throws: RiffleError.self) { try Coupling.optimal.pair(noise, with: data) }
        #expect(error?.kind == .outOfMemory)
        let text = error?.description ?? ""
        #expect(
            text.hasPrefix(
                "coupling: an optimal coupling of 20000 samples takes a matrix of 3.2 GB; use a smaller batch"),
            "\(text)")
    }
}
