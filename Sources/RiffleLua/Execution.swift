import Glibc
import RiffleIO
import RiffleTensor

extension LuaEngine {
    public static var version: String { SystemLibrary.version }

    /// What a command line asks to run.
    public enum Program {
        case line(String)
        case file(String)
        case example(String, [UInt8])
    }

    /// Runs a program and reports what goes wrong on standard error. Ctrl-C stops it.
    /// - Returns: whether it ran to its end.
    public func execute(_ program: Program) -> Bool {
        Signals.interruptsComputation(thenExits: true)
        defer {
            Progress.finishVisible()
            resumeAfterInterrupt()
        }
        do {
            switch program {
            case .line(let code):
                // A line has what an entry of the session has.
                _ = try runInternal("local _, internal = ...; internal.open_session()")
                try run(code, name: "=command line")
            case .file("-"): try run(asSource(try contents(of: 0, named: "standard input")), name: "=stdin", arguments: arguments)
            case .file(let path): try run(asSource(try contents(of: path)), name: "@\(path)", arguments: arguments)
            case .example(let name, let source): try run(source, name: "@examples/\(name).lua", arguments: arguments)
            }
            return true
        } catch {
            wasInterrupted = Interrupt.requested
            Progress.finishVisible()
            Console.error("riffle: " + Self.report(error) + "\n")
            return false
        }
    }

    /// Ends what scripts began to write and did not finish. Nothing of theirs may run afterwards.
    /// - Returns: whether nothing was lost.
    public func settle() -> Bool {
        UnfinishedWork.settle()
        return !UnfinishedWork.hasLosses
    }

    /// An error, with the lines that led to it where they tell more than the message.
    static func report(_ error: any Error) -> String {
        let lines = (error as? LuaError)?.traceback.split(separator: "\n") ?? []
        return lines.count > 1 ? "\(error)\n" + lines.joined(separator: "\n") : "\(error)"
    }

    private func contents(of path: String) throws -> [UInt8] {
        let file = open(path.systemName, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw RiffleError("", "cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { close(file) }
        return try contents(of: file, named: path)
    }

    private func contents(of file: Int32, named name: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(file, &part, part.count)
            if count == 0 { return bytes }
            if count < 0, errno == EINTR, !Interrupt.requested { continue }
            guard count > 0 else { throw RiffleError("", "cannot read \(name): \(String(cString: strerror(errno)))") }
            bytes += part[..<count]
        }
    }

    /// Without a byte-order mark; a first line `#!...` becomes empty, so that lines keep their numbers.
    private func asSource(_ bytes: [UInt8]) -> [UInt8] {
        let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        return Array(text.first == UInt8(ascii: "#") ? text.drop { $0 != UInt8(ascii: "\n") } : text)
    }
}

extension Examples {
    /// - Throws: `RiffleError` with the nearest name where there is none of this name.
    public static func named(_ name: String) throws -> (name: String, source: [UInt8]) {
        let name = name.hasSuffix(".lua") ? String(name.dropLast(4)) : name
        guard let found = all.first(where: { $0.name == name }) else {
            throw RiffleError("examples", "there is none named '\(name)'" + suggestion(for: name, among: all.map(\.name)))
        }
        return found
    }
}
