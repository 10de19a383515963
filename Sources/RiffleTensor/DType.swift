import CKernels

/// The type of a tensor's elements.
package enum DType: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// What networks compute in.
    case float32
    /// For tests and for metrics that need it.
    case float64
    /// Labels and indices.
    case int32
    /// How parameters that stand still may be kept in half the memory. Products widen it on their way into the kernels,
    /// other operations before they compute; no operation gives it.
    case bfloat16

    /// The types in which operations compute, and of which tensors are made.
    package static let computed: [DType] = [.float32, .float64, .int32]

    /// Bytes per element.
    package var size: Int {
        switch self {
        case .bfloat16: 2
        case .float32, .int32: 4
        case .float64: 8
        }
    }
    package var isFloating: Bool { self != .int32 }
    package var description: String {
        switch self {
        case .float32: "float32"
        case .float64: "float64"
        case .int32: "int32"
        case .bfloat16: "bfloat16"
        }
    }

    package init?(name: String) {
        guard let found = DType.allCases.first(where: { $0.description == name }) else { return nil }
        self = found
    }

    package var kernel: rk_dtype { rk_dtype(UInt32(rawValue)) }

    /// The type that holds both: integers give way to floats, float32 to float64.
    package func joined(with other: DType) -> DType {
        if self == other { return self }
        if self == .float64 || other == .float64 { return .float64 }
        return .float32
    }
}
