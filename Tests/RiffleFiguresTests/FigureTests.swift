import Foundation
import RiffleData
import RiffleIO
import RiffleTensor
import TestSupport
import Testing

@testable import RiffleFigures

@Suite struct FigureTests {
    @Test func drawsSamplesAndLines() throws {
        let scratch = try Scratch(), folder = ProcessInfo.processInfo.environment["RIFFLE_PICTURES"] ?? scratch.path
        let sets = try PlaneSet.all.map { ($0.name, try $0.sample(20_000)) }
        var scatter = try Figure.scatter(sets)
        scatter.title = "Sets of the plane"
        try scatter.save(to: folder + "/sets.png", text: ["seed": "0"])

        let few = try Figure.scatter(PlaneSet.all.prefix(3).map { ($0.name, try $0.sample(400)) }, together: true)
        try few.save(to: folder + "/together.png")

        let steps = (1...200).map { Double($0) * 100 }
        var line = Figure(
            .lines,
            [
                Panel(
                    "",
                    [
                        Series("LFMD", x: steps, y: steps.map { 3 * exp(-$0 / 4000) + 0.02 + 0.004 * sin($0) }),
                        Series("ITVM", x: steps, y: steps.map { $0 > 15_000 ? .nan : 2 * exp(-$0 / 3000) + 0.01 }),
                    ])
            ])
        (line.title, line.xLabel, line.yLabel, line.yIsLogarithmic) = ("Training loss", "step", "loss", true)
        try line.save(to: folder + "/line.png")

        var nfe = Figure(
            .lines,
            ["checkerboard", "moons"].map {
                Panel(
                    $0,
                    [
                        Series("teacher, Euler", x: [1, 2, 4, 8], y: [0.6, 0.3, 0.12, 0.05]),
                        Series("student", x: [1, 2, 4, 8], y: [0.037, 0.029, 0.024, 0.023]),
                    ])
            })
        (nfe.xIsLogarithmic, nfe.xLabel, nfe.yLabel) = (true, "NFE", "sliced Wasserstein distance")
        try nfe.save(to: folder + "/nfe.png")

        var histogram = try Figure.histogram(
            [
                ("data", Tensor.randn([20_000]).doubles()),
                ("student", Tensor.randn([2_000]).affine(0.8, 0.7).doubles() + [.nan]),
            ], density: true)
        (histogram.title, histogram.xLabel, histogram.yLabel) = ("First coordinate", "x", "density")
        try histogram.save(to: folder + "/histogram.png")

        let picture = try PNG.read(folder + "/line.png")
        #expect(picture.shape[2] == 3 && picture.shape[0] > 500)
        let floats = try picture.floats()
        #expect(floats.contains { $0 < -0.5 } && floats[0] == 1)
    }

    typealias Panel = Figure.Panel
    typealias Series = Figure.Series

    @Test(arguments: [[1, Double.nan, .infinity], [0, 2], [1e300, -1e300], [-1, 1e-300], [3]], [false, true])
    func drawsWhateverTheNumbersAre(values: [Double], isLogarithmic: Bool) throws {
        let scratch = try Scratch()
        for mark in [Figure.Mark.points, .lines, .bars] {
            var figure = Figure(mark, [Panel("", [Series("a", x: values, y: values)])])
            (figure.xIsLogarithmic, figure.yIsLogarithmic) = (isLogarithmic, isLogarithmic)
            try figure.save(to: scratch("a.png"))
            #expect(scratch.names == ["a.png"])
            try FileManager.default.removeItem(atPath: scratch("a.png"))
        }
    }

    @Test func refusesWhatCannotBeDrawn() throws {
        let scratch = try Scratch()
        #expect(message { try Figure(.lines, []).save(to: scratch("a.png")) }.contains("1 to 64 panels"))
        #expect(message { _ = try Figure.scatter([("a", try .zeros([3, 4]))]) }.contains("[3, 4] for 'a'"))
        #expect(
            message { try Figure(.lines, [Panel("", [Series("a", x: [1], y: [])])]).save(to: scratch("a.png")) }
                .contains("1 x and 0 y"))
        for values in [[], [Double.nan, .infinity]] {
            let figure = Figure(.points, [Panel("", [Series("a", x: values, y: values)])])
            #expect(message { try figure.save(to: scratch("a.png")) }.contains("no point has finite numbers"))
        }
        var figure = Figure(.lines, [Panel("", [Series("a", x: [1, 2], y: [-1, 0])])])
        figure.yIsLogarithmic = true
        #expect(message { try figure.save(to: scratch("a.png")) }.contains("above 0 where an axis is logarithmic"))
        figure = Figure(.lines, [Panel("", [Series("a", x: [1, 2], y: [1, 2])])])
        (figure.yIsLogarithmic, figure.yLimits) = (true, -1...2)
        #expect(message { try figure.save(to: scratch("a.png")) }.contains("begins above 0, and the limits of y at -1"))
        #expect(scratch.names.isEmpty)
    }

    @Test func histogramsCount() throws {
        let values: [Double] = [0, 0.5, 1, 1.5, 1.75, 2, 3, -0.1, .nan, .infinity]
        let counts = try Figure.histogram([("a", values), ("b", [0.1])], bins: 2, limits: 0...2).panels[0]
        #expect(counts.series.map(\.y) == [[2, 4, 0], [1, 0, 0]] && counts.series[0].x == [0, 1, 2])
        #expect(counts.title == "(2 outside, 2 not finite)")

        let density = try Figure.histogram([("a", [1, 2, 3, 5])], bins: 4, density: true).panels[0].series[0]
        #expect(
            density.x == [1, 2, 3, 4, 5] && density.y == [0.25, 0.25, 0.25, 0.25, 0]
                && density.x.count == density.y.count)
        // Every number has its bin, whatever rounding makes of it, and equal numbers have one as well.
        for values in [(0..<1000).map { Double($0) * 0.1 }, [7, 7, 7], [1e300, 1.5e300], [0, 5e-320]] {
            let series = try Figure.histogram([("", values)], bins: 7).panels[0].series[0]
            #expect(series.y.reduce(0, +) == Double(values.count))
        }
        #expect(
            try Figure.histogram([("", [Double](repeating: 1, count: 144) + [2])]).panels[0].series[0].x.count == 14)
        for none in [[], [Double.nan]] {
            #expect(message { _ = try Figure.histogram([("", none)]) }.contains("a histogram is of"))
        }
        #expect(message { _ = try Figure.histogram([("", [1])], bins: 0) }.contains("1 to 10000 bins, got 0"))
        #expect(message { _ = try Figure.histogram([("", [-1.7e308, 1.7e308])]) }.contains("have no width"))
    }

    @Test func ticksAreRound() {
        #expect(Axis(-0.2, 1.1).ticks.map(\.label) == ["0.0", "0.5", "1.0"])
        #expect(Axis(-2, 2, count: 4).ticks.map(\.label) == ["\u{2212}2", "\u{2212}1", "0", "1", "2"])
        #expect(Axis(0, 400_000, count: 4).ticks.map(\.label) == ["0", "1·10⁵", "2·10⁵", "3·10⁵", "4·10⁵"])
        #expect(Axis(1e-3, 1, isLogarithmic: true).ticks.map(\.label) == ["10⁻³", "10⁻²", "10⁻¹", "10⁰"])
        #expect(Axis(1, 8, isLogarithmic: true).ticks.map(\.label) == ["1", "2", "5"])
    }

    @Test func titlesThatNoPictureHoldsAreRefused() throws {
        let scratch = try Scratch()
        var figure = Figure(.lines, [Figure.Panel("", [Figure.Series("", x: [1, 2], y: [1, 2])])])
        figure.title = "a\0b"
        #expect(message { try figure.save(to: scratch("b.png")) }.contains("holds a zero byte"))
        #expect(scratch.names.isEmpty)
    }
}
