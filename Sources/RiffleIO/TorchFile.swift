import RiffleTensor

/// PyTorch's files as ZIP archives: a pickle, and the bytes of each storage.
struct TorchArchive {
    private let archive: ZipArchive
    private let pickle: ZipArchive.Entry
    /// The folder that all entries stand in, with its slash.
    private let folder: String

    /// - Returns: nil for an archive of another kind.
    init?(_ archive: ZipArchive) throws {
        let name = "data.pkl"
        let pickles = archive.entries.filter {
            $0.name.hasSuffix("/" + name) && $0.name.split(separator: "/").count == 2
        }
        guard let pickle = pickles.first else { return nil }
        guard pickles.count == 1 else { throw archive.error("two entries of the archive are named \(name)") }
        self.archive = archive
        self.pickle = pickle
        folder = String(pickle.name.dropLast(name.count))
    }

    func listing() throws -> TensorListing {
        if let order = archive[folder + "byteorder"] {
            guard try order.size <= 16 && archive.read(order) == Array("little".utf8) else {
                throw archive.error("its numbers begin with the big end; save it on a little-endian machine")
            }
        }
        let (pickle, _) = try PickleReader.read(ZipEntryBytes(pickle, of: archive, reading: .whole), at: 0)
        var sources: [String: ZipEntryBytes] = [:]
        let storages = try pickle.storages.map { storage -> TorchStorage in
            let name = "\(folder)data/\(storage.key)"
            guard let entry = archive[name] else { throw archive.error("the archive lacks the entry '\(name)'") }
            let source = sources[name] ?? ZipEntryBytes(entry, of: archive, reading: .whole)
            sources[name] = source
            guard storage.fits(entry.size) else {
                throw source.error("expected a storage of \(storage.count) elements, found \(entry.size) bytes")
            }
            return TorchStorage(source: source, offset: 0, size: entry.size)
        }
        return try TorchTree(pickle, storages, error: archive.error).listing()
    }
}

/// PyTorch's older files: five pickles, the last of them the storages' keys, then the storages in that order.
enum TorchStream {
    /// 0x1950a86a20f9469cfc6c, little end first.
    private static let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    private static let version = 1001

    static func listing(of file: InputFile) throws -> TensorListing {
        let start = try file.bytes(min(file.size, 64), at: 0)
        guard (0..<max(0, start.count - magic.count)).contains(where: { start[$0...].starts(with: magic) }) else {
            throw file.error(
                "a Python pickle, but not one of PyTorch's: it may hold anything, and is not opened; save the weights "
                    + "alone (torch.save(model.state_dict(), ...))")
        }
        let (_, magicEnd) = try PickleReader.read(file, at: 0)
        let (number, numberEnd) = try PickleReader.read(file, at: magicEnd)
        guard case .integer(version) = number.root else {
            throw file.error("a PyTorch file of an unknown version, expected \(version)")
        }
        let (system, systemEnd) = try PickleReader.read(file, at: numberEnd)
        guard case .table(let table) = system.root,
            system.tables[table].contains(where: {
                if case (.text("little_endian"), .boolean(true)) = ($0.key, $0.value) { true } else { false }
            })
        else { throw file.error("its numbers begin with the big end; save it on a little-endian machine") }
        let (pickle, pickleEnd) = try PickleReader.read(file, at: systemEnd)
        let (keys, keysEnd) = try PickleReader.read(file, at: pickleEnd)
        let found = try storages(keys, of: pickle, in: file, at: keysEnd)
        let storages = try pickle.storages.map { storage -> TorchStorage in
            guard let stretch = found[storage.key] else { throw file.error("the storage '\(storage.key)' is missing") }
            guard storage.fits(stretch.size) else {
                throw file.error(
                    "the storage '\(storage.key)' should have \(storage.count) elements, found \(stretch.size) bytes")
            }
            return stretch
        }
        return try TorchTree(pickle, storages, error: file.error).listing()
    }

    /// Where each storage's bytes are: behind their number of elements, in 8 bytes.
    private static func storages(_ keys: Pickle, of pickle: Pickle, in file: InputFile, at start: Int) throws
        -> [String: TorchStorage]
    {
        guard let list = keys.items(keys.root) else { throw file.error("the list of its storages is missing") }
        let sizes = Dictionary(pickle.storages.map { ($0.key, $0) }) { first, _ in first }
        var position = start, storages: [String: TorchStorage] = [:]
        for item in list {
            guard case .text(let key) = item, let storage = sizes[key], storages[key] == nil else {
                throw file.error("the list of its storages does not fit its tensors")
            }
            guard let element = storage.elementSize else {
                throw file.error("a storage of \(storage.typeName), which has no counterpart in Riffle")
            }
            let count = try file.bytes(8, at: position).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard let count = Int(exactly: count), let size = checkedProduct([count, element]),
                file.holds(size, at: position + 8)
            else {
                throw file.error(
                    "the storage '\(key)' should have \(count) elements, found \(file.size - position - 8) bytes")
            }
            storages[key] = TorchStorage(source: file, offset: position + 8, size: size)
            position += 8 + size
        }
        guard position == file.size else {
            throw file.error("expected its end at byte \(position), found \(file.size - position) bytes more")
        }
        return storages
    }
}

/// Where the bytes of a storage are.
struct TorchStorage {
    let source: any ByteSource
    let offset: Int
    let size: Int
}

extension Pickle.Storage {
    /// Bytes of an element; nil where the type has no counterpart.
    fileprivate var elementSize: Int? { type.map { $0.bits / 8 } ?? (typeName.isEmpty ? 1 : nil) }
    /// Whether its elements take that many bytes; true where that is not known.
    fileprivate func fits(_ bytes: Int) -> Bool { elementSize.map { checkedProduct([count, $0]) == bytes } ?? true }
}
