import RiffleTensor

/// An image cut into square patches, which are the tokens of a transformer, row by row.
struct PatchGrid: Sendable {
    let rows: Int
    let columns: Int
    private let patch: Int
    private let channels: Int

    /// - Parameter image: [height, width, channels], the first two in multiples of `patch`.
    init(image: Shape, patch: Int) {
        rows = image[0] / patch
        columns = image[1] / patch
        channels = image[2]
        self.patch = patch
    }

    /// The grid's pixels [n, rows, columns, width] -> tokens [n, rows x columns, width].
    func tokens(_ pixels: Tensor) throws -> Tensor {
        try pixels.reshaped(to: [pixels.shape[0], rows * columns, pixels.shape[3]])
    }

    /// Tokens [n, rows x columns, patch x patch x outputs] -> images [n, height, width, channels]. Of the outputs of a
    /// pixel the first become its channels.
    func images(_ tokens: Tensor) throws -> Tensor {
        let n = tokens.shape[0]
        let outputs = tokens.shape[2] / (patch * patch)
        var pixels = try tokens.reshaped(to: [n, rows, columns, patch, patch, outputs])
        if outputs > channels { pixels = try pixels.sliced(5, 0..<channels) }
        return try pixels.permuted([0, 1, 3, 2, 4, 5]).reshaped(to: [n, rows * patch, columns * patch, channels])
    }
}

/// The patches of an image as tokens, by a convolution, with fixed positions added.
struct PatchEmbedding {
    /// Of images of the usual size.
    private let grid: PatchGrid
    private let patch: Int
    private let patches: Conv2d
    /// Positions on a table, whose middle is the image.
    private let positions: Parameter
    private let table: (rows: Int, columns: Int)
    private let names: Names

    /// Names in files.
    struct Names {
        let patches: String
        let positions: String
    }

    /// - Parameters:
    ///   - table: rows and columns of a table of positions that is larger than the image's; nil for the image's own.
    ///   - spacing: between the positions of neighbours.
    init(
        image: Shape, patch: Int, width: Int, names: Names, table: Int? = nil, spacing: Double = 1
    ) throws {
        grid = PatchGrid(image: image, patch: patch)
        self.patch = patch
        patches = try Conv2d(image[2], width, kernel: Sides(patch), stride: Sides(patch), padding: 0, start: .xavier)
        self.table = (table ?? grid.rows, table ?? grid.columns)
        positions = try .positions(rows: self.table.rows, columns: self.table.columns, width: width, spacing: spacing)
        self.names = names
    }

    var children: [(name: String, module: Module)] { [(names.patches, patches)] }
    var buffers: [NamedParameter] { [NamedParameter(names.positions, positions)] }

    /// Images [n, height, width, channels], whose sides are multiples of the patch, and no larger than the table ->
    /// tokens [n, rows x columns, width].
    func tokens(_ images: Tensor) throws -> Tensor {
        let grid = grid(of: images)
        return try grid.tokens(patches(images)) + middle(grid)
    }

    private func grid(of images: Tensor) -> PatchGrid { PatchGrid(image: images.shape.removing(0), patch: patch) }

    /// Tokens [n, rows x columns, width] -> a map [n, rows, columns, width].
    func map(_ tokens: Tensor) throws -> Tensor {
        try tokens.reshaped(to: [tokens.shape[0], grid.rows, grid.columns, tokens.shape[2]])
    }

    /// Tokens [n, rows x columns, patch x patch x outputs] -> images shaped as `x`, see `PatchGrid.images`.
    func images(_ tokens: Tensor, like x: Tensor) throws -> Tensor { try grid(of: x).images(tokens) }

    /// The positions of the patches of a grid: [1, rows x columns, width].
    private func middle(_ grid: PatchGrid) throws -> Tensor {
        if table == (grid.rows, grid.columns) { return positions.tensor }
        let width = positions.shape[2]
        let top = (table.rows - grid.rows) / 2
        let left = (table.columns - grid.columns) / 2
        return try positions.tensor.reshaped(to: [table.rows, table.columns, width])
            .sliced(0, top..<(top + grid.rows)).sliced(1, left..<(left + grid.columns))
            .reshaped(to: [1, grid.rows * grid.columns, width])
    }
}

extension Parameter {
    /// Fixed positions on a grid, [1, rows x columns, width]: the first half of a token's numbers encodes its column,
    /// the second half its row.
    ///
    /// A half is sin(z 10000^(-i / (width / 4))), then the cosines, for i from 0, with z = spacing x the index of the
    /// column or row (Peebles and Xie 2023, as published). The width is a multiple of 4.
    static func positions(rows: Int, columns: Int, width: Int, spacing: Double = 1) throws -> Parameter {
        try Parameter([1, rows * columns, width], trainable: false) {
            try waves(rows: rows, columns: columns, width: width, spacing: spacing)
        }
    }

    private static func waves(rows: Int, columns: Int, width: Int, spacing: Double) throws -> Tensor {
        let grid: Shape = [rows, columns, width / 2]
        let quarter = width / 4
        func waves(_ count: Int) throws -> Tensor {
            let indices = try Tensor((0..<count).map(Double.init), [count])
            let parts = try timeFeatures(indices, width: width / 2, largest: spacing).split([quarter, quarter], 1)
            return try Tensor.cat([parts[1], parts[0]], 1).cast(.float32)
        }
        let across = try waves(columns).expanded(to: grid)
        let down = try waves(rows).unsqueezed(1).expanded(to: grid)
        return try Tensor.cat([across, down], 2).reshaped(to: [1, rows * columns, width])
    }
}
