import RiffleIO
import RiffleTensor

/// Parts of tokenizer.json, the one file in which Hugging Face's tokenizers keep everything.
enum TokenizerJSON {
    /// The table of the model, which has to be of a type.
    static func model(_ value: Value?, type: String, _ file: InputFile) throws -> [String: Value] {
        guard case .table(let model) = value else { throw file.error("its model is no table") }
        // The oldest files have no type and are of byte pairs.
        var found = type
        if case .string(let word)? = model["type"] { found = word }
        guard found == type else { throw file.error("expected a model of type \(type), found one of type \(found)") }
        return model
    }

    /// The tokens that are found in texts as they are written, with their numbers.
    static func added(_ root: [String: Value], _ file: InputFile) throws -> [String: Int] {
        guard let value = root["added_tokens"] else { return [:] }
        guard case .list(let items) = value else { throw file.error("its added_tokens are no list") }
        return try items.reduce(into: [:]) { added, item in
            guard case .table(let token) = item, case .string(let text)? = token["content"],
                case .integer(let number)? = token["id"]
            else { throw file.error("one of its added_tokens has no content and id") }
            added[text] = number
        }
    }
}

extension InputFile {
    /// Runs `body`; a mistake that it finds is one of this file.
    func naming<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as RiffleError where error.kind == .mistake {
            throw self.error(error.message)
        }
    }
}
