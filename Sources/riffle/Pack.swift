import ArgumentParser
import RiffleData
import RiffleIO
import RiffleLua
import RiffleTensor

/// Makes one array of a set of pictures, so that a set too large for memory is decoded once.
struct PackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle pack",
        abstract: "Makes an npy array of a set of pictures, to be read where it is needed.",
        usage: "riffle pack FOLDER OUT.npy --size 256 [--crop center]",
        discussion: """
            FOLDER is whatever riffle.data.images opens. OUT.npy holds bytes [n, height, width, channels], and \
            OUT.labels.npy the labels from 0 where there are some; riffle.data.images("OUT.npy") reads both.
            """)

    @ArgumentParser.Argument(help: "A folder or file of pictures.") var source: String
    @ArgumentParser.Argument(help: "The array, which ends in .npy.") var target: String
    @ArgumentParser.Option(help: "The side of the pictures, or HEIGHTxWIDTH.") var size: String?
    @ArgumentParser.Option(help: "none, center or random.") var crop = "none"
    @ArgumentParser.Option(help: "box, bilinear, bicubic or lanczos.") var filter = "lanczos"
    @ArgumentParser.Option(help: "1, 3 or 4.") var channels: Int?
    @ArgumentParser.Option(help: "folders, file, fine, coarse or none.") var labels: String?
    @ArgumentParser.Option(help: "train or test.") var split: String?
    @Flag(help: "Leaves out broken pictures.") var skipBroken = false

    func run() throws {
        do {
            let set = try PackedPictures(source, try options())
            Console.output("\(set.pictures.description("\(set.pictures.count)"))\n")
            let written = try set.write(to: target) { done, count in
                Console.error("\(done)/\(count)\n")
            }
            let left = set.pictures.broken.map { ", \($0.count) broken left out (\($0.first))" } ?? ""
            Console.output("\(written) picture\(written == 1 ? "" : "s") in \(target)\(left)\n")
        } catch let error as RiffleError {
            Console.error("riffle pack: \(error.description)\n")
            throw ExitCode(1)
        }
    }

    private func options() throws -> PictureOptions {
        var options = PictureOptions()
        options.size = try size.map(PackCommand.size)
        options.crop = try choice("crop", crop)
        options.filter = try choice("filter", filter)
        guard channels.map({ (1...4).contains($0) }) ?? true else {
            throw ValidationError("--channels must be 1 to 4, got \(channels ?? 0)")
        }
        options.channels = channels
        options.labels = try labels.map { try choice("labels", $0) }
        if let split, !CIFAR.splits.contains(split) {
            throw ValidationError("--split must be train or test, got '\(split)'")
        }
        options.split = split
        options.skipsBroken = skipBroken
        return options
    }

    static func size(_ text: String) throws -> PictureSize {
        let sides = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard sides.count == 1 || sides.count == 2, sides.allSatisfy({ (1...65_536).contains($0) }) else {
            throw ValidationError("--size must be a side such as 256, or HEIGHTxWIDTH, got '\(text)'")
        }
        return PictureSize(width: sides[sides.count - 1], height: sides[0])
    }

    private func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String, _ word: String) throws
        -> Choice
    {
        guard let choice = Choice(rawValue: word) else {
            let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--\(name) must be one of \(words), got '\(word)'")
        }
        return choice
    }
}
