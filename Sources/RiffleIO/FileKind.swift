import RiffleTensor

/// What a file is, by its first bytes; its name plays no part. This is the one reader of first bytes.
package enum FileKind: Sendable {
    case safetensors, npy, zip, pickle, index, idx
    case tar, png, jpeg, gif, webp, gzip, hdf5, gguf, parquet
    /// A few lines that Git Large File Storage leaves where a large file should be.
    case pointer
    case webPage, empty

    /// - Returns: nil where the bytes are of no kind that is known.
    package init?(_ file: some ByteSource) throws {
        let start = try file.bytes(min(file.size, 512), at: 0)
        func begins(_ text: String) -> Bool { start.starts(with: text.utf8) }
        let first = start.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
        func isWebPage() -> Bool {
            let text = String(decoding: start, as: UTF8.self).lowercased()
            return text.contains("<!doctype html") || text.contains("<html")
        }
        switch true {
        case start.isEmpty: self = .empty
        case start.starts(with: [0x93] + Array("NUMPY".utf8)): self = .npy
        case begins("PK\u{3}\u{4}"), begins("PK\u{5}\u{6}"): self = .zip
        case start.count > 8 && start[8] == UInt8(ascii: "{") && start[4..<8].allSatisfy({ $0 == 0 }):
            self = .safetensors
        case start[0] == 0x80 && start.count > 1 && (2...5).contains(start[1]): self = .pickle
        case begins("version https://git-lfs"): self = .pointer
        case first == UInt8(ascii: "<") && isWebPage(): self = .webPage
        case start.count > 262 && start[257..<262].elementsEqual("ustar".utf8): self = .tar
        case start.starts(with: [0x89] + Array("PNG".utf8)): self = .png
        case start.starts(with: [0xFF, 0xD8, 0xFF]): self = .jpeg
        case begins("GIF8"): self = .gif
        case begins("RIFF") && start.dropFirst(8).starts(with: "WEBP".utf8): self = .webp
        case start.starts(with: [0x1F, 0x8B]): self = .gzip
        case start.starts(with: [0x89] + Array("HDF".utf8)): self = .hdf5
        case begins("GGUF"): self = .gguf
        case begins("PAR1"): self = .parquet
        case IDX.begins(start): self = .idx
        case first == UInt8(ascii: "{"): self = .index
        default: return nil
        }
    }

    /// Whether `ImageFile` reads it.
    package var isPicture: Bool { self == .png || self == .jpeg || self == .webp }

    /// What the file is, in words, with what helps.
    package var description: String {
        switch self {
        case .safetensors: "a safetensors file"
        case .npy: "NumPy's file of one array"
        case .zip: "a ZIP archive"
        case .pickle: "a Python pickle"
        case .index: "a JSON text"
        case .idx: "an array in MNIST's form, IDX"
        case .tar: "a tar archive"
        case .png: "a PNG picture"
        case .jpeg: "a JPEG picture"
        case .gif: "a GIF picture"
        case .webp: "a WebP picture"
        case .gzip: "compressed by gzip; unpack it first (gunzip)"
        case .hdf5: "an HDF5 file, as Keras and h5py write them"
        case .gguf: "a GGUF file, as llama.cpp reads them"
        case .parquet: "a Parquet table"
        case .pointer: "a Git LFS pointer, not the file itself; 'git lfs pull' in its repository gets the file"
        case .webPage: "a web page, perhaps of an error or a login, not the file itself; download it again"
        case .empty: "empty"
        }
    }
}
