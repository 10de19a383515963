import RiffleTensor

/// Cuts pictures or latents into tiles that overlap by a quarter, and blends what is made of them linearly, as
/// diffusers does: memory is bounded by a tile, however large the picture is.
struct Tiling {
    /// How sizes change from a tile to what is made of it.
    enum Scale { case up(Int), down(Int) }

    /// The side of a tile, and of what is made of it.
    private let side: Int, result: Int

    /// - Parameter side: in latents.
    /// - Throws: `RiffleError` where a quarter of it is no whole number.
    init(side: Int, scale: Scale) throws {
        guard side >= 4, side % 4 == 0 else {
            throw RiffleError("tile", "the side of a tile must be a multiple of 4 latents, got \(side)")
        }
        (self.side, result) =
            switch scale {
            case .up(let factor): (side, factor * side)
            case .down(let factor): (factor * side, side)
            }
    }

    private var overlap: Int { result / 4 }

    /// - Parameters:
    ///   - x: [n, height, width, channels].
    ///   - body: makes a tile's result.
    func callAsFunction(_ x: Tensor, _ body: (Tensor) throws -> Tensor) throws -> Tensor {
        guard x.shape[1] > side || x.shape[2] > side else { return try body(x) }
        var rows: [Tensor] = [], above: [Tensor] = []
        for row in ranges(x.shape[1]) {
            let strip = try x.sliced(1, row)
            var parts: [Tensor] = [], edges: [Tensor] = [], left: Tensor?
            for (index, column) in ranges(x.shape[2]).enumerated() {
                var tile = try body(strip.sliced(2, column))
                if row.lowerBound > 0 { tile = try blended(above[index], tile, 1) }
                if let left { tile = try blended(left, tile, 2) }
                edges.append(try end(of: tile, 1))
                left = try end(of: tile, 2)
                parts.append(try kept(of: kept(of: tile, 1), 2))
            }
            rows.append(try Tensor.cat(parts, 2))
            above = edges
        }
        return try Tensor.cat(rows, 1)
    }

    /// Where tiles lie along a side.
    private func ranges(_ size: Int) -> [Range<Int>] {
        stride(from: 0, to: size, by: side / 4 * 3).map { $0..<min($0 + side, size) }
    }

    /// The part of a tile that no later tile covers.
    private func kept(of tile: Tensor, _ dim: Int) throws -> Tensor {
        try tile.sliced(dim, 0..<min(tile.shape[dim], result - overlap))
    }

    private func end(of tile: Tensor, _ dim: Int) throws -> Tensor {
        try tile.sliced(dim, max(0, tile.shape[dim] - overlap)..<tile.shape[dim])
    }

    /// A tile whose first rows or columns pass from the end of the tile before it.
    private func blended(_ before: Tensor, _ tile: Tensor, _ dim: Int) throws -> Tensor {
        let size = tile.shape[dim], common = min(before.shape[dim], size)
        let shape = Shape((0..<4).map { $0 == dim ? common : 1 })
        let weight = try Tensor((0..<common).map { Double($0) / Double(common) }, shape).cast(tile.dtype)
        let edge = try before.sliced(dim, before.shape[dim] - common..<before.shape[dim])
        let mixed = try edge * (1 - weight) + tile.sliced(dim, 0..<common) * weight
        return common == size ? mixed : try Tensor.cat([mixed, tile.sliced(dim, common..<size)], dim)
    }
}
