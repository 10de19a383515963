import Glibc
import RiffleIO
import RiffleRuns
import RiffleTensor

extension LuaEngine {

    /// A program that a command line names.
    package enum Program {
        /// Code from the command line, as an entry of a session.
        case line(String)
        /// All of standard input as one entry of a session.
        case standardInput
        case file(String)
        case example(String, [UInt8])
    }

    /// Runs a program and reports errors on standard error. Ctrl-C stops the program.
    /// - Parameter thenSession: whether a session follows, which keeps the locals of the program.
    /// - Returns: whether the program ran to its end.
    package func execute(_ program: Program, thenSession: Bool = false) -> Bool {
        Signals.interruptsComputation(thenExits: true)
        defer {
            Progress.finishVisible()
            resumeAfterInterrupt()
        }
        do {
            switch program {
            case .line(let code): try runEntry(code, name: "=command line")
            case .standardInput:
                try runEntry(text(asSource(try contents(of: 0, named: "standard input"))), name: "=stdin")
            case .file(let path):
                source = asSource(try contents(of: path))
                try runScript(source, path, keepsLocals: thenSession)
            case .example(let name, let text):
                source = text
                try run(source, name: "@examples/\(name).lua", arguments: arguments, results: 0)
            }
            return true
        } catch {
            wasInterrupted = Interrupt.requested
            OpenRuns.fail("\(error)")
            Progress.finishVisible()
            Console.error("riffle: " + Self.report(error) + "\n")
            return false
        }
    }

    /// Puts in place, or gives up, the files that scripts began to write and did not finish. No script may run
    /// afterwards.
    /// - Returns: whether nothing was lost.
    package func settle() -> Bool {
        OpenRuns.closeAll()
        if let options = runOptions, options.isTest || options.allowsChanges || options.resume != nil,
            !runOptionsAreUsed
        {
            Console.error(
                "riffle: --resume, --allow-changes and --test-run are for scripts that make a run, and this one made "
                    + "none\n"
            )
        }
        UnfinishedWork.settle()
        return Console.flushFiles() && !UnfinishedWork.hasLosses
    }

    private func runEntry(_ source: String, name: String) throws {
        let session = try session.get()
        try session.open()
        try finish(session.evaluate(source, name: name, arguments: arguments))
    }

    private func runScript(_ source: [UInt8], _ path: String, keepsLocals: Bool) throws {
        let session = try session.get()
        try session.require(from: folder(of: path))
        guard keepsLocals else {
            try run(source, name: "@\(path)", arguments: arguments, results: 0)
            return
        }
        try finish(session.evaluate(text(source), name: "@\(path)", prints: false, arguments: arguments))
    }

    /// Throws the message of a program that does not compile. An incomplete program is an error, too: no lines follow
    /// it.
    private func finish(_ outcome: Session.Outcome) throws {
        switch outcome {
        case .done: break
        case .incomplete(let message), .wrong(let message): throw RiffleError("", message)
        }
    }

    /// The folder of a script; where the script is a link, the folder of its target.
    private func folder(of path: String) -> String {
        var path = path
        var link = stat()
        let isLink = lstat(path.systemName, &link) == 0 && link.st_mode & S_IFMT == S_IFLNK
        if isLink, let real = realpath(path.systemName, nil) {
            path = String(cBytes: real)
            free(real)
        }
        return path.lastIndex(of: "/").map { String(path[...$0].dropLast(path == "/" ? 0 : 1)) } ?? "."
    }

    /// An error's message, followed by its traceback where that has more than one line.
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
            // A device or a pipe may be endless.
            guard bytes.count <= 1 << 30 else {
                throw RiffleError("", "cannot read \(name): a program has at most 1 GiB")
            }
        }
    }

    private func text(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { String(bytes: $0) } }

    /// The source without a byte-order mark. A first line `#!...` becomes empty, so that lines keep their numbers.
    private func asSource(_ bytes: [UInt8]) -> [UInt8] {
        let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        return Array(text.first == UInt8(ascii: "#") ? text.drop { $0 != UInt8(ascii: "\n") } : text)
    }
}

extension Examples {
    /// The example of a name, with or without `.lua`.
    /// - Throws: `RiffleError` with the nearest name where no example has this name.
    package static func named(_ name: String) throws -> (name: String, source: [UInt8]) {
        let name = name.hasSuffix(".lua") ? String(name.dropLast(4)) : name
        guard let found = all.first(where: { $0.name == name }) else {
            throw RiffleError(
                "examples", "there is none named '\(name)'" + suggestion(for: name, among: all.map(\.name)))
        }
        return found
    }
}
