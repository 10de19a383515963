import RiffleIO
import RiffleTensor

/// The `dataset.json` of EDM's sets: `{"labels": [["00000/img00000000.png", 3], ...]}`, with labels from 0, or null.
enum DatasetJSON {
    static let name = "dataset.json"
    /// More than a hundred bytes for each of a million pictures.
    private static let largest = 200_000_000

    /// The labels of pictures by their names; nil where the file has none.
    /// - Throws: `RiffleError` that names the file, also where a picture has no label.
    static func labels(_ source: any ByteSource, of names: [String]) throws -> Labels? {
        guard case .table(let table) = try JSON.read(source, limit: largest) else {
            throw source.error("expected a table { \"labels\": ... }")
        }
        let pairs: [Value]
        switch table["labels"] {
        case nil, Value.none?: return nil
        case .list(let list)?: pairs = list
        default: throw source.error("'labels' should be a list of names with labels")
        }
        var labels: [String: Int] = [:]
        for (index, pair) in pairs.enumerated() {
            guard case .list(let pair) = pair, pair.count == 2, case .string(let name) = pair[0],
                let number = Arguments([pair[1]]).optionalNumber(0).flatMap(Int.init(exactly:))
            else { throw source.error("item \(index + 1) of 'labels' should be a name and a whole number") }
            guard labels.updateValue(number, forKey: name) == nil else {
                throw source.error("'\(name)' has two labels")
            }
        }
        let numbers = try names.map { name in
            guard let number = labels[name] else { throw source.error("'\(name)' has no label") }
            return number
        }
        return try Labels(fromZero: numbers) { source.error($0) }
    }
}
