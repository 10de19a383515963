import RiffleTensor

/// The types of elements that files of tensors have. The raw value is the type's name in safetensors.
package enum ElementType: String, CaseIterable, Sendable {
    case bool = "BOOL"
    case u8 = "U8", i8 = "I8", i16 = "I16", u16 = "U16", i32 = "I32", u32 = "U32", i64 = "I64", u64 = "U64"
    case f16 = "F16", bf16 = "BF16", f32 = "F32", f64 = "F64"
    case f8e5m2 = "F8_E5M2", f8e4m3 = "F8_E4M3", f8e8m0 = "F8_E8M0", f8e4m3fnuz = "F8_E4M3FNUZ"
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    // Types that have no counterpart here.
    case f4 = "F4", f6e2m3 = "F6_E2M3", f6e3m2 = "F6_E3M2", c64 = "C64", c128 = "C128"

    package init(_ dtype: DType) {
        switch dtype {
        case .float32: self = .f32
        case .float64: self = .f64
        case .int32: self = .i32
        case .bfloat16: self = .bf16
        }
    }

    /// The type of that name; nil where there is none.
    package init?(word: String) {
        guard let type = ElementType.allCases.first(where: { $0.word == word }) else { return nil }
        self = type
    }

    /// The type's name for users, which is PyTorch's.
    package var word: String {
        switch self {
        case .bool: "bool"
        case .u8: "uint8"
        case .i8: "int8"
        case .i16: "int16"
        case .u16: "uint16"
        case .i32: "int32"
        case .u32: "uint32"
        case .i64: "int64"
        case .u64: "uint64"
        case .f16: "float16"
        case .bf16: "bfloat16"
        case .f32: "float32"
        case .f64: "float64"
        case .f8e5m2: "float8_e5m2"
        case .f8e4m3: "float8_e4m3fn"
        case .f8e8m0: "float8_e8m0fnu"
        case .f8e4m3fnuz: "float8_e4m3fnuz"
        case .f8e5m2fnuz: "float8_e5m2fnuz"
        case .f4: "float4_e2m1fn"
        case .f6e2m3: "float6_e2m3fn"
        case .f6e3m2: "float6_e3m2fn"
        case .c64: "complex64"
        case .c128: "complex128"
        }
    }

    /// Bits per element.
    package var bits: Int {
        switch self {
        case .f4: 4
        case .f6e2m3, .f6e3m2: 6
        case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .i64, .u64, .f64, .c64: 64
        case .c128: 128
        }
    }

    /// Whether safetensors files may hold the type.
    package var isInSafeTensors: Bool { self != .c128 }

    /// The type of tensors that elements become; nil where there is no counterpart.
    package var dtype: DType? {
        switch self {
        case .f64: .float64
        case .f32, .f16, .bf16, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: .float32
        case .bool, .u8, .i8, .i16, .u16, .i32, .u32, .i64, .u64: .int32
        case .f4, .f6e2m3, .f6e3m2, .c64, .c128: nil
        }
    }
}
