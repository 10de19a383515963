@preconcurrency import CEdit
import Glibc
import RiffleTensor

/// Reads lines from the terminal with libedit: with editing, completion and a history that outlives the session.
///
/// The state is global, as libedit's own: there is one terminal.
enum LineEditor {
    /// Gives the names that may complete the word that follows the beginning of a line.
    typealias Completer = (_ line: String, _ word: String) -> [String]

    nonisolated(unsafe) private static var completer: Completer = { _, _ in [] }
    /// Characters that the editor gets before those of the terminal: pasted ones, or the end of a cancelled line.
    nonisolated(unsafe) private static var pending: ArraySlice<Int32> = []
    /// Bytes of the terminal that were read ahead.
    nonisolated(unsafe) private static var ahead: ArraySlice<UInt8> = []
    nonisolated(unsafe) private(set) static var wasCancelled = false

    static func start(completer: @escaping Completer) {
        self.completer = completer
        // Letters beyond ASCII need a locale that has them.
        setlocale(LC_CTYPE, "")
        if String(cString: nl_langinfo(Int32(CODESET))) != "UTF-8" { setlocale(LC_CTYPE, "C.UTF-8") }
        rl_readline_name = UnsafePointer(strdup("riffle"))
        rl_catch_signals = 0
        rl_getc_function = { _ in LineEditor.character() }
        rl_attempted_completion_function = { text, _, _ in
            rl_attempted_completion_over = 1
            return LineEditor.matches(text.map { String(cBytes: $0) } ?? "")
        }
        rl_completion_append_character = 0
        rl_basic_word_break_characters = UnsafePointer(strdup(" \t\n\"'><=;|&{}()[]+-*/^%,#~?"))
        using_history()
        stifle_history(10_000)
        if let file = historyFile { read_history(file.systemName) }
    }

    /// Whether more lines of a paste follow.
    static var isPasting: Bool { !pending.isEmpty }

    /// The next line, or nil at the end of input. Ctrl-C gives an empty line and sets `wasCancelled`.
    static func read(_ prompt: String) -> String? {
        wasCancelled = false
        // Asks the terminal to mark pastes, which most terminals can.
        Console.output("\u{1B}[?2004h")
        defer { Console.output("\u{1B}[?2004l") }
        guard let line = readline(prompt) else { return nil }
        defer { free(line) }
        return wasCancelled ? "" : String(cBytes: line)
    }

    static func remember(_ entry: String) {
        add_history(entry.systemName)
        if let file = historyFile { write_history(file.systemName) }
    }

    /// A character of the terminal, decoded; -1 at the end. An interrupt clears the line and ends it.
    private static func character() -> Int32 {
        if let next = pending.popFirst() { return next }
        guard let first = byte() else {
            guard Interrupt.requested else { return -1 }
            Interrupt.clear()
            wasCancelled = true
            let (killLine, newline): (Int32, Int32) = (0x15, 0x0A)
            pending = [newline]
            return killLine
        }
        if first == escape, follows(beginOfPaste) {
            pending = pasted()
            return character()
        }
        let more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0
        var code = more == 0 ? Int32(first) : Int32(first) & (0x3F >> Int32(more))
        for _ in 0..<more { code = code << 6 | Int32(byte() ?? 0) & 0x3F }
        return code
    }

    private static let escape: UInt8 = 0x1B
    private static let beginOfPaste = Array("[200~".utf8)
    private static let endOfPaste = [escape] + Array("[201~".utf8)

    /// Whether the terminal sends these bytes next, at once. They are read then.
    private static func follows(_ wanted: [UInt8]) -> Bool {
        var seen: [UInt8] = []
        for expected in wanted {
            var input = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            guard !ahead.isEmpty || poll(&input, 1, 50) > 0, let next = byte() else { break }
            seen.append(next)
            if next != expected { break }
        }
        if seen == wanted { return true }
        ahead = seen + ahead
        return false
    }

    /// The characters of a paste as if they were typed: lines end with a newline, tabs are quoted, other control
    /// characters are left out.
    private static func pasted() -> ArraySlice<Int32> {
        var bytes: [UInt8] = []
        while !bytes.suffix(endOfPaste.count).elementsEqual(endOfPaste), let next = byte() { bytes.append(next) }
        if bytes.suffix(endOfPaste.count).elementsEqual(endOfPaste) { bytes.removeLast(endOfPaste.count) }
        let text = String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "\n").replacing("\r", with: "\n")
        let quoteNext: Int32 = 0x16
        return ArraySlice(
            text.unicodeScalars.flatMap { scalar in
                let code = Int32(scalar.value)
                return scalar == "\t"
                    ? [quoteNext, code] : scalar == "\n" || code >= 0x20 && code != 0x7F ? [code] : []
            })
    }

    private static func byte() -> UInt8? {
        if let next = ahead.popFirst() { return next }
        var byte: UInt8 = 0
        while true {
            let count = Glibc.read(0, &byte, 1)
            if count == 1 { return byte }
            if count < 0, errno == EINTR, !Interrupt.requested { continue }
            return nil
        }
    }

    /// Completions in libedit's form: the beginning that all names share, the names, a null pointer. libedit frees the
    /// list and its strings.
    private static func matches(_ text: String) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
        let start = UnsafeRawPointer(rl_line_buffer)
        let line = String(bytes: UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : max(0, Int(rl_point))))
        let names = completer(String(line.dropLast(text.count)), text)
        guard let first = names.first else { return nil }
        let common = names.dropFirst().reduce(first) { $0.commonPrefix(with: $1) }
        let all = names.count == 1 ? [first] : [common] + names
        let list = UnsafeMutableRawPointer(calloc(all.count + 1, MemoryLayout<UnsafeMutablePointer<CChar>?>.stride))?
            .assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
        for (index, name) in all.enumerated() { list?[index] = strdup(name.systemName) }
        return list
    }

    /// `riffle/history` in the user's state folder, which is made where it is missing.
    private static let historyFile: String? = {
        guard
            let base = Environment.variable("XDG_STATE_HOME")
                ?? Environment.variable("HOME").map({ "\($0)/.local/state" })
        else { return nil }
        let folder = "\(base)/riffle"
        var path = ""
        for part in folder.split(separator: "/") {
            path += "/\(part)"
            mkdir(path.systemName, 0o700)
        }
        // Only a plain file: libedit would wait for a pipe, and change the mode of a device.
        let file = "\(folder)/history"
        var found = stat()
        return lstat(file.systemName, &found) != 0 || found.st_mode & S_IFMT == S_IFREG ? file : nil
    }()
}

extension String {
    fileprivate func commonPrefix(with other: String) -> String {
        String(zip(self, other).prefix { $0 == $1 }.map(\.0))
    }
}
