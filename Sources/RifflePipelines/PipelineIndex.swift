import RiffleFlow
import RiffleIO
import RiffleTensor

/// model_index.json, in which diffusers lists the parts of a pipeline, each a folder, by the classes that they have.
struct PipelineIndex {
    private let folder: String
    private let path: String
    /// The class of each part that is there.
    private let classes: [String: String]
    /// The time at which a generator takes its noise; nil where the model is none.
    let start: Double?

    /// What `save` adds for a generator. diffusers passes over what begins with a line.
    static let generator = "_generator"

    /// - Throws: `RiffleError` where the folder is no pipeline of the class that is meant.
    init(folder: String, pipeline wanted: String) throws {
        (self.folder, path) = (folder, "\(folder)/model_index.json")
        guard fileExists(path) else {
            throw RiffleError(
                "", "'\(folder)' has no model_index.json, which lists the parts of a pipeline of diffusers")
        }
        guard case .table(let table) = try JSON.read(path) else {
            throw RiffleError("", "'\(path)': expected a table of parts")
        }
        let name = if case .string(let word)? = table["_class_name"] { word } else { "missing" }
        guard name == wanted else {
            throw RiffleError("", "'\(path)': its _class_name is \(name); \(wanted) is read here")
        }
        var classes: [String: String] = [:]
        for (part, value) in table where !part.hasPrefix("_") {
            // A library and a class, or twice null.
            if case .list(let items) = value, items.count == 2, case .string(let word) = items[1] {
                classes[part] = word
            }
        }
        self.classes = classes
        start = try Self.start(table[Self.generator], path)
    }

    private static func start(_ value: Value?, _ path: String) throws -> Double? {
        guard let value else { return nil }
        var table = try ConfigTable(value, named: path)
        let start = try table.number("start", usual: 0)
        guard Generation.starts.contains(start) else {
            throw table.error(
                "the start of its \(generator) is \(riffleFormat(start)), which is no time before the data")
        }
        try table.checkRest()
        return start
    }

    /// The names of all parts.
    var parts: [String] { classes.keys.sorted() }

    func has(_ part: String) -> Bool { classes[part] != nil }

    /// The folder of a part.
    /// - Parameter known: the classes that are read here.
    /// - Throws: `RiffleError` where the part is not listed, has another class, or its folder is not there.
    func folder(of part: String, _ known: String...) throws -> String {
        let wanted = known.joined(separator: " or ")
        guard let name = classes[part] else {
            throw RiffleError("", "'\(path)': it lists no \(part), expected a \(wanted)")
        }
        guard known.contains(name) else {
            throw RiffleError("", "'\(path)': its \(part) is a \(name); known here is \(wanted)")
        }
        let inside = "\(folder)/\(part)"
        guard try isFolder(inside) else { throw RiffleError("", "'\(inside)' is missing, which '\(path)' lists") }
        return inside
    }

    /// - Throws: `RiffleError` that names a part beside those that are read.
    func checkParts(_ known: Set<String>) throws {
        if let odd = parts.first(where: { !known.contains($0) }) {
            throw RiffleError("", "'\(path)': the part \(odd), a \(classes[odd] ?? ""), is not known here")
        }
    }
}
