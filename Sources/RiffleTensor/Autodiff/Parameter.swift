/// A tensor that training changes: a value, its gradient, and whether gradients reach it.
///
/// Optimizers and EMA update the value in place when nobody else holds it and in a copy otherwise, so that tensors
/// read from a parameter earlier never change.
public final class Parameter: @unchecked Sendable {
    package let shape: Shape
    private var storage: Storage
    package private(set) var dtype: DType
    /// The sum of the gradients that `backward` computed since the gradient was last cleared.
    package var gradient: Tensor?
    /// Whether gradients reach the parameter. Teachers' and averages' parameters are frozen, and so is what is kept as
    /// bfloat16: the changes of training would be rounded off.
    package var isTrainable: Bool {
        get { isChosen && dtype != .bfloat16 }
        set { isChosen = newValue }
    }
    private var isChosen: Bool

    package init(_ value: Tensor, trainable: Bool = true) {
        storage = value.storage
        shape = value.shape
        dtype = value.dtype
        isChosen = trainable
    }

    /// A parameter that starts with the value that `start` gives. Inside `withoutNumbers` it starts with none.
    /// - Parameter shape: that of the value.
    package convenience init(_ shape: Shape, trainable: Bool = true, _ start: () throws -> Tensor) rethrows {
        let isBlank = Context.current.makesBlankParameters
        self.init(
            isBlank ? Tensor(storage: .none, shape: shape, dtype: .float32) : try start(), trainable: trainable)
    }

    /// The value as a tensor at which gradients end.
    package var tensor: Tensor {
        let tensor = Tensor(storage: storage, shape: shape, dtype: dtype)
        if isTrainable { tensor.attach(self) }
        return tensor
    }

    /// The value as a plain tensor, which later updates leave alone.
    package var value: Tensor { Tensor(storage: storage, shape: shape, dtype: dtype) }

    /// Whether there is a value; a parameter that was made without waits for `assign`.
    package var hasNumbers: Bool { storage !== Storage.none || shape.count == 0 }

    /// Has the parameter keep its value as another type, which it rounds to where that holds less, also of values that
    /// are assigned later.
    package func store(as dtype: DType) throws {
        if hasNumbers { storage = try value.converted(to: dtype).storage }
        self.dtype = dtype
    }

    /// Takes over another parameter's value and type, in the same memory.
    /// - Throws: `RiffleError` when the shape differs.
    package func share(_ other: Parameter) throws {
        try check(other.shape)
        (storage, dtype) = (other.storage, other.dtype)
    }

    /// Whether this parameter and another one have the same memory, and so the same value.
    package func shares(_ other: Parameter) -> Bool { storage === other.storage }

    /// What computations read of a parameter.
    struct Reading {
        fileprivate let storage: Storage
        let isTrainable: Bool
    }

    /// What computations read, which can be kept and set again.
    var reading: Reading {
        get { Reading(storage: storage, isTrainable: isTrainable) }
        set { (storage, isTrainable) = (newValue.storage, newValue.isTrainable) }
    }

    /// Replaces the value.
    /// - Throws: `RiffleError` when the shape differs.
    package func assign(_ value: Tensor) throws {
        try check(value.shape)
        storage = try value.converted(to: dtype).storage
    }

    private func check(_ other: Shape) throws {
        guard other == shape else {
            throw RiffleError("assign", "the parameter has shape \(shape), the new value \(other)")
        }
    }

    /// Makes sure that nobody else sees the value's memory, so that `update` cannot fail.
    package func makeUnique() throws {
        if !isKnownUniquelyReferenced(&storage) { storage = try storage.copy() }
    }

    /// Changes the value in place, through memory that nobody else sees.
    package func update(_ body: (UnsafeMutableRawPointer) -> Void) throws {
        try makeUnique()
        body(storage.pointer)
    }
}

/// Runs `body`, in which parameters are made by their shapes alone, without memory: for a network that gets all of its
/// numbers from elsewhere. Who reads a parameter before it is assigned reads memory that is not there.
package func withoutNumbers<Result>(_ body: () throws -> Result) rethrows -> Result {
    let context = Context.current
    let before = context.makesBlankParameters
    context.makesBlankParameters = true
    defer { context.makesBlankParameters = before }
    return try body()
}
