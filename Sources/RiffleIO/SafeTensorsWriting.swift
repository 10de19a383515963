import RiffleTensor

/// Files of named tensors in the safetensors format, written.
extension SafeTensors {
    /// Writes tensors under their names, with texts beside them; the file appears whole or not at all.
    ///
    /// Wide types come first, then names in order, so that every tensor is aligned and the same tensors give the same
    /// bytes.
    /// - Throws: `RiffleError` when a name occurs twice or is `__metadata__`, or the file cannot be written.
    package static func write(_ tensors: [(String, Tensor)], metadata: [String: String] = [:], to path: String) throws {
        try FileEnding.check(path, of: "tensors by name", [.safetensors])
        let sorted = tensors.sorted { ($1.1.dtype.size, $0.0) < ($0.1.dtype.size, $1.0) }
        let (header, _) = try header(sorted.map { ($0, ElementType($1.dtype), $1.shape) }, metadata: metadata, path)
        try AtomicFile.write(to: path) { file in
            try file.write(header)
            for (_, tensor) in sorted {
                try file.write(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size))
            }
        }
    }

    /// Writes the tensors and texts of another file, one tensor after another, with the types and bytes that they have
    /// there.
    /// - Parameter asFloat32: whether floats of other types become float32.
    /// - Throws: `RiffleError` when the file holds what safetensors cannot hold, or the new file cannot be written.
    package static func write(_ source: TensorFile, asFloat32: Bool = false, to path: String) throws {
        try FileEnding.check(path, of: "tensors by name", [.safetensors])
        try source.requireTensorsAlone()
        func type(_ entry: StoredTensor) -> ElementType {
            asFloat32 && entry.type.dtype?.isFloating ?? false ? .f32 : entry.type
        }
        if let entry = source.entries.first(where: { !type($0).isInSafeTensors }) {
            throw source.error(
                "tensor '\(entry.name)' has the type \(entry.type.word), which safetensors does not have")
        }
        let sorted = source.entries.sorted { (type($1).bits, $0.name) < (type($0).bits, $1.name) }
        let (header, _) = try header(
            sorted.map { ($0.name, type($0), $0.shape) }, metadata: source.metadata, path)
        try AtomicFile.write(to: path) { file in
            try file.write(header)
            for entry in sorted {
                guard type(entry) != entry.type else {
                    try entry.pieces { try file.write($0) }
                    continue
                }
                let tensor = try entry.tensor().cast(.float32)
                try file.write(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size))
            }
        }
    }

    /// The header of tensors that follow one another, and the range of bytes that each tensor takes in the file.
    package static func header(
        _ tensors: [(name: String, type: ElementType, shape: Shape)], metadata: [String: String], _ path: String
    ) throws -> (bytes: [UInt8], ranges: [Range<Int>]) {
        for text in tensors.map(\.name) + metadata.flatMap({ [$0.key, $0.value] }) where !text.isUnicode {
            throw RiffleError(
                "", "cannot write '\(path)': names and metadata of tensors are UTF-8, and '\(text)' is not")
        }
        var items: [String] = []
        if !metadata.isEmpty {
            let texts = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
            items.append("\"__metadata__\":{\(texts.joined(separator: ","))}")
        }
        var seen: Set = ["__metadata__"]
        var ranges: [Range<Int>] = []
        for (name, type, shape) in tensors {
            guard seen.insert(name).inserted else {
                throw RiffleError("", "cannot write '\(path)': two tensors have the name '\(name)', or it is reserved")
            }
            let sizes = shape.sizes.map(String.init).joined(separator: ",")
            let begin = ranges.last?.upperBound ?? 0
            let end = begin + shape.count * type.bits / 8
            ranges.append(begin..<end)
            let fields = "\"dtype\":\"\(type.rawValue)\",\"shape\":[\(sizes)],\"data_offsets\":[\(begin),\(end)]"
            items.append("\(quoted(name)):{\(fields)}")
        }
        var text = Array("{\(items.joined(separator: ","))}".utf8)
        text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
        guard text.count <= largestHeader else {
            throw RiffleError("", "cannot write '\(path)': names and metadata pass 100 MB")
        }
        let bytes = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
        return (bytes, ranges.map { ($0.lowerBound + bytes.count)..<($0.upperBound + bytes.count) })
    }
}
