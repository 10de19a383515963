import Glibc
import RiffleTensor

/// Arguments and environment of the process, byte for byte.
package enum Environment {
    /// The arguments behind the command.
    package static let arguments: [String] = (1..<max(1, Int(CommandLine.argc))).compactMap { index in
        CommandLine.unsafeArgv[index].map { String(cBytes: $0) }
    }

    /// A variable of the environment; nil where it is not set, or empty.
    package static func variable(_ name: String) -> String? {
        getenv(name).map { String(cBytes: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}
