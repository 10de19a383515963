/// What changes while a program trains, as a checkpoint keeps it: tensors and plain values, each under a name.
package struct SavedState {
    /// Tensors by name, in the layout of files.
    package var tensors: [String: Tensor]
    /// Numbers, truths, texts, and lists and tables of them.
    package var values: [String: Value]
    /// Whether an object may go on otherwise than the one whose state this is, where that is possible.
    package var allowsChanges = false

    package init(tensors: [String: Tensor] = [:], values: [String: Value] = [:]) {
        self.tensors = tensors
        self.values = values
    }
}

/// What has a state that a checkpoint keeps, so that a program can stop and go on to the same bits.
package protocol Resumable: AnyObject {
    /// The whole state, as it is now. Its tensors may be the object's own memory: they are to be read before the object
    /// changes, and may be given to one object alone.
    func saved() throws -> SavedState
    /// Checks a state that `saved` returned, here or in another process, and changes nothing.
    /// - Returns: what sets this object to the state. Several objects are checked first and set afterwards, so that
    ///   either all of them are set or none.
    /// - Throws: `RiffleError` that names what does not fit.
    func resuming(from state: SavedState) throws -> () throws -> Void
}

/// Access to what has to be there.
extension SavedState {
    package func tensor(_ name: String) throws -> Tensor {
        guard let tensor = tensors[name] else { throw RiffleError("", "the tensor '\(name)' is missing") }
        return tensor
    }

    package func number(_ name: String) throws -> Double {
        guard let number = Arguments([values[name] ?? .none]).optionalNumber(0) else { throw misfit(name, "a number") }
        return number
    }

    package func integer(_ name: String, in range: ClosedRange<Int> = 0...Int.max) throws -> Int {
        guard case .integer(let integer) = values[name], range.contains(integer) else {
            throw misfit(name, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return integer
    }

    package func boolean(_ name: String) throws -> Bool {
        guard case .boolean(let boolean) = values[name] else { throw misfit(name, "true or false") }
        return boolean
    }

    package func list(_ name: String) throws -> [Value] {
        guard case .list(let items) = values[name] else { throw misfit(name, "a list") }
        return items
    }

    package func texts(_ name: String) throws -> [String] {
        try list(name).map { item in
            guard case .string(let text) = item else { throw misfit(name, "a list of texts") }
            return text
        }
    }

    /// The part of this state whose names begin with `prefix`, under the rest of the names.
    package func part(_ prefix: String) -> SavedState {
        func inside<Item>(_ items: [String: Item]) -> [String: Item] {
            Dictionary(
                uniqueKeysWithValues: items.filter { $0.key.hasPrefix(prefix) }.map {
                    (String($0.key.dropFirst(prefix.count)), $0.value)
                })
        }
        var part = SavedState(tensors: inside(tensors), values: inside(values))
        part.allowsChanges = allowsChanges
        return part
    }

    /// Adds a state whose names get `prefix` in front.
    package mutating func add(_ state: SavedState, _ prefix: String) {
        for (name, tensor) in state.tensors { tensors[prefix + name] = tensor }
        for (name, value) in state.values { values[prefix + name] = value }
    }

    private func misfit(_ name: String, _ wanted: String) -> RiffleError {
        RiffleError("", "'\(name)' should be \(wanted)" + (values[name] == nil ? ", and is missing" : ""))
    }
}
