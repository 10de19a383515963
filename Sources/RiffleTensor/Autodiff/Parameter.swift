/// A tensor that training changes: a value, its gradient, and whether gradients reach it.
///
/// Optimizers and EMA update the value in place when nobody else holds it and in a copy otherwise, so that tensors
/// read from a parameter earlier never change.
public final class Parameter: @unchecked Sendable {
    package let shape: Shape
    private var storage: Storage
    /// The sum of the gradients that `backward` computed since the gradient was last cleared.
    package var gradient: Tensor?
    /// Whether gradients reach the parameter. Teachers' and averages' parameters are frozen.
    package var isTrainable: Bool
    package let dtype: DType

    package init(_ value: Tensor, trainable: Bool = true) {
        storage = value.storage
        shape = value.shape
        dtype = value.dtype
        isTrainable = trainable
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
        guard value.shape == shape else {
            throw RiffleError("assign", "the parameter has shape \(shape), the new value \(value.shape)")
        }
        storage = try value.converted(to: dtype).storage
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
