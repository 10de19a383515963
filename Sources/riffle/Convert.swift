import ArgumentParser
import RiffleIO
import RiffleLua
import RiffleNN
import RiffleRuns
import RiffleTensor

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "riffle inspect",
        abstract: "Lists the tensors of a file with their types and shapes, its texts, and its SHA-256.")

    @ArgumentParser.Argument(help: "A safetensors file or index.json, .npy, .npz, .pt, .pth, .ckpt or IDX.")
    var file: String

    func run() throws {
        let tensors = try TensorFile(allOf: file)
        let rows = tensors.entries.map { [InspectCommand.visible($0.name), $0.type.word, $0.shape.description] }
        for row in InspectCommand.aligned(rows) { Console.output(row + "\n") }
        for (name, what) in tensors.refused.sorted(by: { $0.key < $1.key }) {
            Console.output(InspectCommand.visible("\(name.isEmpty ? "(all)" : name)  not read: a \(what)") + "\n")
        }
        let numbers = tensors.entries.reduce(0.0) { $0 + Double($1.shape.count) }
        let bytes = tensors.entries.reduce(0) { $0 &+ $1.byteCount }
        let counted = "\(tensors.entries.count) tensor\(tensors.entries.count == 1 ? "" : "s")"
        Console.output("\(counted), \(riffleFormat(numbers)) numbers, \(readable(bytes: bytes))\n")
        let networks = (try? NetworkFile(file))?.entries ?? []
        for network in networks {
            Console.output(
                InspectCommand.visible(
                    "network\(network.name.isEmpty ? "" : " ")\(network.name) = \(network.description.lua)") + "\n")
        }
        for (name, text) in tensors.metadata.sorted(by: { $0.key < $1.key }) {
            if name == Module.description, !networks.isEmpty { continue }
            Console.output(InspectCommand.visible("\(name) = \(text)") + "\n")
        }
        Console.output("sha256 \(try Digest.sha256(of: file))\n")
    }

    /// A file's text on one line, without what would steer the terminal.
    private static func visible(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
    }

    /// Rows of columns, each as wide as its widest text.
    private static func aligned(_ rows: [[String]]) -> [String] {
        let widths = (0..<2).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) + "  " }.joined() + row[2]
        }
    }
}

struct ConvertCommand: ParsableCommand {
    enum Types: String, CaseIterable, ExpressibleByArgument {
        case asIs = "as-is", f32
    }

    static let configuration = CommandConfiguration(
        commandName: "riffle convert", abstract: "Writes the tensors of a file as safetensors, one after another.")

    @ArgumentParser.Argument(help: "A file that riffle inspect reads.")
    var input: String
    @ArgumentParser.Argument(help: "Where to write; the name ends in .safetensors.")
    var output: String
    @ArgumentParser.Option(help: "The table of a PyTorch file that holds the tensors, such as ema_model.")
    var entry: String?
    @ArgumentParser.Option(help: "Taken off the beginning of names, such as module.")
    var strip: String?
    @ArgumentParser.Option(help: "as-is keeps the file's types and bytes; f32 makes float32 of all floats.")
    var dtype = Types.asIs

    func run() throws {
        let file = try TensorFile(input, part: TensorFile.Part(entry: entry, strip: strip))
        try SafeTensors.write(file, asFloat32: dtype == .f32, to: output)
    }
}
