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

extension Parameter {
    /// Fixed positions on a grid, [1, rows x columns, width]: the first half of a token's numbers encodes its column,
    /// the second half its row.
    ///
    /// A half is sin(z 10000^(-i / (width / 4))), then the cosines, for i from 0, with z = spacing x the index of the
    /// column or row (Peebles and Xie 2023, as published). The width is a multiple of 4.
    static func positions(rows: Int, columns: Int, width: Int, spacing: Double = 1) throws -> Parameter {
        let grid: Shape = [rows, columns, width / 2]
        let quarter = width / 4
        func waves(_ count: Int) throws -> Tensor {
            let indices = try Tensor((0..<count).map(Double.init), [count])
            let parts = try timeFeatures(indices, width: width / 2, largest: spacing).split([quarter, quarter], 1)
            return try Tensor.cat([parts[1], parts[0]], 1).cast(.float32)
        }
        let across = try waves(columns).expanded(to: grid)
        let down = try waves(rows).unsqueezed(1).expanded(to: grid)
        return Parameter(try Tensor.cat([across, down], 2).reshaped(to: [1, rows * columns, width]), trainable: false)
    }
}
