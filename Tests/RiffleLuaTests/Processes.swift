import Glibc
import RiffleTensor

/// The binary, which is beside the tests.
private func binary() -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let path = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return path.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/riffle"
}

func temporaryFolder() -> String {
    var template = Array("/tmp/riffle-tests-XXXXXX".utf8CString)
    guard let path = mkdtemp(&template) else { fatalError("there is no temporary folder") }
    return String(cString: path)
}

func write(_ text: String, to path: String) throws {
    guard let file = fopen(path, "w") else { throw RiffleError("", "cannot write \(path)") }
    fputs(text, file)
    fclose(file)
}

private func spawn(
    _ arguments: [String], state: String, folder: String?, settings: [String] = [],
    _ files: (inout posix_spawn_file_actions_t) -> Void
) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    files(&actions)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // A session of its own (POSIX_SPAWN_SETSID), so that the first terminal it opens is the one that sends it signals.
    // And no blocked signals (POSIX_SPAWN_SETSIGMASK), which a test's thread has.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, 0x80 | 0x08)
    let command = (folder.map { ["/usr/bin/env", "-C", $0] } ?? []) + [binary()] + arguments
    let words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0.systemName) } + [nil]
    let passed = [
        "PATH", "HOME", "LD_LIBRARY_PATH", "RIFFLE_THREADS", "RIFFLE_CPU", "RIFFLE_MEMORY", "ASAN_OPTIONS",
        "LSAN_OPTIONS",
        "UBSAN_OPTIONS",
    ]
    let variables = passed.compactMap { (name: String) in getenv(name).map { "\(name)=\(String(cString: $0))" } }
    let environment: [UnsafeMutablePointer<CChar>?] =
        (settings + variables + ["XDG_STATE_HOME=\(state)", "TERM=xterm"]).map { strdup($0.systemName) } + [nil]
    defer { (words + environment).forEach { free($0) } }
    var process = pid_t()
    guard posix_spawn(&process, command[0], &actions, &attributes, words, environment) == 0 else {
        throw RiffleError("", "cannot start \(binary())")
    }
    return process
}

/// How a process ends: its code, or minus the number of the signal that ended it; one that takes more than five minutes
/// is killed. What it writes to `terminal` is read meanwhile, since it would wait for ever where nobody does.
private func wait(for process: pid_t, reading terminal: Int32? = nil) -> Int32 {
    var status: Int32 = 0
    var part = [UInt8](repeating: 0, count: 4096)
    for turn in 0... {
        if waitpid(process, &status, WNOHANG) == process { break }
        if turn == 30_000 { kill(process, SIGKILL) }
        var waiting = pollfd(fd: terminal ?? -1, events: Int16(POLLIN), revents: 0)
        if poll(&waiting, 1, 10) > 0, read(waiting.fd, &part, part.count) <= 0 { usleep(10_000) }
    }
    return status & 0x7F == 0 ? (status >> 8) & 0xFF : -(status & 0x7F)
}

/// Runs the binary to its end.
/// - Parameters:
///   - output: where standard output goes, instead of into the answer.
///   - folder: the current folder of the process; that of the tests when nil.
///   - killedAfter: milliseconds after which the process gets a signal, if it still runs.
func riffle(
    _ arguments: [String], input: String = "", output: String? = nil, in folder: String? = nil,
    settings: [String] = [], killedAfter: (milliseconds: Int, signal: Int32)? = nil
) throws -> (output: String, error: String, code: Int32) {
    let state = temporaryFolder()
    try write(input, to: "\(state)/in")
    let process = try spawn(arguments, state: state, folder: folder, settings: settings) { actions in
        posix_spawn_file_actions_addopen(&actions, 0, "\(state)/in", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output ?? "\(state)/out", O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, "\(state)/err", O_WRONLY | O_CREAT, 0o600)
    }
    if let killedAfter {
        usleep(UInt32(1000 * killedAfter.milliseconds))
        kill(process, killedAfter.signal)
    }
    let code = wait(for: process)
    func text(_ name: String) throws -> String {
        try contents(of: "\(state)/\(name)").withUnsafeBytes { String(bytes: $0) }
    }
    return (output == nil ? try text("out") : "", try text("err"), code)
}

/// A session of the binary on a pseudo-terminal.
final class Terminal {
    private let state = temporaryFolder()
    private let master: Int32
    private let process: pid_t
    private var isOver = false

    /// - Parameter folder: the current folder of the session; that of the tests when nil.
    init(in folder: String? = nil) throws {
        // What posix_openpt, unlockpt and ptsname do; Swift does not see those.
        let (setLock, getNumber): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
        var (lock, number): (Int32, Int32) = (0, 0)
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard master >= 0, ioctl(master, setLock, &lock) == 0, ioctl(master, getNumber, &number) == 0 else {
            throw RiffleError("", "there is no pseudo-terminal")
        }
        let slave = "/dev/pts/\(number)"
        process = try spawn([], state: state, folder: folder) { actions in
            for file: Int32 in 0...2 { posix_spawn_file_actions_addopen(&actions, file, slave, O_RDWR, 0) }
        }
    }

    deinit {
        if !isOver {
            kill(process, SIGKILL)
            _ = wait(for: process, reading: master)
        }
        close(master)
    }

    func send(_ text: String) {
        var text = text
        text.withUTF8 { _ = Glibc.write(master, $0.baseAddress, $0.count) }
    }

    /// What is shown until it ends with `prompt`, and has shown `word`, but for the marks around prompts that concern
    /// pastes.
    @discardableResult
    func expect(_ prompt: String, after word: String = "") throws -> String {
        var shown: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            var waiting = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 50) > 0 else {
                let text = String(decoding: shown, as: UTF8.self).replacing("\u{1B}[?2004h", with: "").replacing(
                    "\u{1B}[?2004l", with: "")
                if text.hasSuffix(prompt), word.isEmpty || text.contains(word) { return text }
                continue
            }
            let count = read(master, &part, part.count)
            guard count > 0 else { break }
            shown += part[..<count]
        }
        throw RiffleError(
            "", "the session does not answer; it showed \(String(decoding: shown, as: UTF8.self).debugDescription)")
    }

    @discardableResult
    func enter(_ line: String, until prompt: String = "> ") throws -> String {
        send(line + "\n")
        return try expect(prompt)
    }

    func history() throws -> String { String(decoding: try contents(of: state + "/riffle/history"), as: UTF8.self) }

    func exitCode() -> Int32 {
        isOver = true
        return wait(for: process, reading: master)
    }
}
