import CLuaBridge
import RiffleTensor

/// The C state, shared by the engine and by whatever keeps a value of Lua's registry.
final class LuaState: @unchecked Sendable {
    let pointer: OpaquePointer
    /// Nil once the engine is gone. Not weak: that would slow down every use of the engine.
    unowned(unsafe) var engine: LuaEngine?

    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { rlua_destroy(pointer) }
}

/// A place in Lua's registry, given back when the last holder is gone.
final class LuaReference: @unchecked Sendable {
    let state: LuaState
    private(set) var place: Int32
    private let isBorrowed: Bool

    /// - Parameter borrowed: the place is somebody else's to give back.
    init(state: LuaState, place: Int32, borrowed: Bool = false) {
        self.state = state
        self.place = place
        isBorrowed = borrowed
    }
    deinit { if place != 0, !isBorrowed { rlua_forget(state.pointer, place) } }

    /// Leaves giving it back to the caller.
    func take() -> Int32 {
        defer { place = 0 }
        return place
    }
}

/// A function of the user's that the library may call, on the thread that runs Lua.
package final class LuaFunction: Sendable {
    let reference: LuaReference

    init(_ reference: LuaReference) { self.reference = reference }

    /// Calls it.
    /// - Parameter results: how many results are wanted; those missing are `.none`.
    /// - Throws: `LuaError` where Lua raised one, to be passed on: the call from Lua around this one raises it again.
    package func callAsFunction(_ arguments: [Value], results: Int = 1) throws -> [Value] {
        guard let engine = reference.state.engine else { throw RiffleError("", "Lua has ended") }
        return try engine.call(reference, arguments, results: results)
    }
}

/// An error object that Lua raised below a function of the library.
package struct LuaError: Error, CustomStringConvertible {
    let reference: LuaReference
    package let description: String
    /// The user's lines that led to it, innermost first.
    package let traceback: String
}
