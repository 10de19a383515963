import CLuaBridge
import RiffleTensor

/// The C state, which the engine shares with all references to Lua's registry.
final class LuaState: @unchecked Sendable {
    let pointer: OpaquePointer
    /// Nil once the engine is gone. A weak reference would slow down every use of the engine.
    unowned(unsafe) var engine: LuaEngine?

    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { rlua_destroy(pointer) }
}

/// A reference to a value in Lua's registry, which is given up when its last holder is gone.
final class LuaReference: @unchecked Sendable {
    let state: LuaState
    private(set) var ref: Int32
    private let isBorrowed: Bool

    /// - Parameters:
    ///   - ref: the value's key in the registry, 0 for none.
    ///   - borrowed: whether another owner gives the reference up.
    init(state: LuaState, ref: Int32, borrowed: Bool = false) {
        self.state = state
        self.ref = ref
        isBorrowed = borrowed
    }
    deinit { if ref != 0, !isBorrowed { rlua_forget(state.pointer, ref) } }

    /// Hands the reference over to the caller, who has to give it up.
    func take() -> Int32 {
        defer { ref = 0 }
        return ref
    }
}

/// A function of the user's that the library may call, on the thread that runs Lua.
package final class LuaFunction: Sendable {
    let reference: LuaReference

    init(_ reference: LuaReference) { self.reference = reference }

    /// Calls the function.
    /// - Parameter results: the number of results; missing ones are `.none`.
    /// - Throws: `LuaError` where Lua raised an error. The caller passes it on, so that the surrounding call from Lua
    ///   raises the same error again.
    package func callAsFunction(_ arguments: [Value], results: Int = 1) throws -> [Value] {
        guard let engine = reference.state.engine else { throw RiffleError("", "Lua has ended") }
        return try engine.call(reference, arguments, results: results)
    }
}

/// An error object that Lua raised below a function of the library.
package struct LuaError: Error, CustomStringConvertible {
    let reference: LuaReference
    package let description: String
    /// The user's lines that were running, innermost first.
    package let traceback: String
}
