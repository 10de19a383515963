import ArgumentParser
import RiffleData
import RiffleEvaluation
import RiffleFlow
import RiffleIO
import RiffleLua
import RiffleNN
import RiffleRuns
import RiffleTensor

/// Measures networks of files by number of evaluations.
struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle eval",
        abstract: "Measures networks at several numbers of evaluations, side by side and from the same noise.",
        discussion: """
            A network is the file of net:save, of an average, or a run's checkpoint; NAME=PATH gives it a name in the \
            table. Numbers of evaluations that a network's sampler cannot use are left out, and each network has to \
            have one that it can.
            """)

    @ArgumentParser.Argument(help: "Files of networks, PATH or NAME=PATH; lpips compares with the first.")
    var networks: [String]
    @ArgumentParser.Option(help: "Real pictures: a folder, a file, or statistics (.npz with mu and sigma).")
    var data: String
    @ArgumentParser.Option(help: "Which network of a checkpoint, by the name that the run tracked.")
    var net: String?
    @ArgumentParser.Option(parsing: .unconditional, help: "Numbers of evaluations.")
    var nfe = "1,2,4,8"
    @ArgumentParser.Option(name: .customLong("n"), parsing: .unconditional, help: "Samples of each.")
    var count = 10_000
    @ArgumentParser.Option(help: "fid, kid, precision_recall, lpips.")
    var metric = "fid"
    @ArgumentParser.Option(help: "The feature network: a file, or the name of a published one.")
    var features = Inception.title
    @ArgumentParser.Option(help: "The file, or name, of the classifier of lpips.")
    var backbone = AlexNet.title
    @ArgumentParser.Option(help: "The file of lpips's weights by channel; the published one's name when not given.")
    var lpips: String?
    @ArgumentParser.Option(help: "tf1, pytorch-fid or clean.")
    var resize = FeatureResize.tf1.rawValue
    @ArgumentParser.Option(
        help: """
            How networks are sampled: euler, midpoint, heun or rk4 those with one time; generate or consistency all.
            """)
    var sampler = NumberedSamples.Method.euler.rawValue
    @ArgumentParser.Option(parsing: .unconditional, help: "The time at which generate begins, as in training.")
    var start = 0.0
    @ArgumentParser.Option(
        help: "A folder that keeps samples and features: stopped work goes on, and --n may be raised later.")
    var keep: String?
    @ArgumentParser.Option(parsing: .unconditional, help: "The seed of the noise.")
    var seed = 0
    @ArgumentParser.Option(parsing: .unconditional, help: "Samples made at a time.")
    var batch = 32
    @ArgumentParser.Option(
        name: [.short, .long], help: "A file that is written too: .csv, .json or .png; may be repeated.")
    var out: [String] = []

    func validate() throws {
        guard !networks.isEmpty else { throw ValidationError("which networks?") }
        guard count >= 2, seed >= 0, (1...NumberedSamples.largestBatch).contains(batch) else {
            throw ValidationError(
                "--n is 2 or more, --seed 0 or more, --batch 1 to \(NumberedSamples.largestBatch), got --n \(count) "
                    + "--seed \(seed) --batch \(batch)")
        }
        _ = (try evaluations(), try measures(), try resizing(), try method())
        guard start == 0 || sampler == NumberedSamples.Method.generate.rawValue else {
            throw ValidationError("--start is for --sampler generate, got --sampler \(sampler)")
        }
    }

    func run() throws {
        for path in out { try EvaluationTable.check(path) }
        let models = try networks.map(model)
        let measures = try measures()
        var evaluation = Evaluation(
            models, measures, reference: try reference(models), features: try FeatureExtractor(file: features),
            resize: try resizing(),
            perceptual: measures.contains(.lpips) ? try PerceptualDistance(backbone: backbone, weights: lpips) : nil,
            seed: UInt64(seed))
        evaluation.evaluations = try evaluations()
        evaluation.count = count
        evaluation.batch = batch
        evaluation.folder = keep
        let table = EvaluationTable(try evaluation.rows { Console.error("\($0)\n") })
        // Whatever happens to a file, the table and the other files are there.
        Console.output("\(table)\n")
        let written = out.map { path in Result { try table.write(to: path) } }
        for result in written { try result.get() }
    }

    private func model(_ argument: String) throws -> Evaluation.Model {
        let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
        let path = parts.count == 2 ? parts[1] : argument
        let file = RunFolder.lastName(of: path)
        let name = parts.count == 2 ? parts[0] : file.split(separator: ".").first.map(String.init) ?? file
        let network = try NetworkFile(path).network(net)
        let method = try method(), jumps = network.times == 2 && method.solver != nil
        return Evaluation.Model(name, network, jumps ? nil : method, start: start)
    }

    /// Pictures are brought to the size of the models' samples.
    private func reference(_ models: [Evaluation.Model]) throws -> Side {
        if FileEnding(of: data) == .npz { return try Side(path: data) }
        var options = PictureOptions()
        if let shape = models[0].network.sampleShape, shape.rank == 3 {
            options.size = PictureSize(width: shape[1], height: shape[0])
            options.channels = shape[2]
        }
        return .pictures(try Pictures(DataSet(PictureFiles.open(data, options))))
    }

    // MARK: - Words

    private func evaluations() throws -> [Int] {
        let numbers = nfe.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard numbers.allSatisfy({ $0 > 0 }) else {
            throw ValidationError("--nfe is a list of positive whole numbers such as 1,2,4, got '\(nfe)'")
        }
        return numbers
    }

    private func measures() throws -> [Evaluation.Measure] {
        try metric.split(separator: ",", omittingEmptySubsequences: false).map { try chosen(String($0), "--metric") }
    }

    private func resizing() throws -> FeatureResize { try chosen(resize, "--resize") }
    private func method() throws -> NumberedSamples.Method { try chosen(sampler, "--sampler") }

    private func chosen<Choice: RawRepresentable<String> & CaseIterable>(_ word: String, _ option: String) throws
        -> Choice
    {
        guard let choice = Choice(rawValue: word) else {
            let words = Choice.allCases.map(\.rawValue)
            throw ValidationError(
                "\(option) is one of \(words.joined(separator: ", ")), got '\(word)'"
                    + suggestion(for: word, among: words)
            )
        }
        return choice
    }
}
