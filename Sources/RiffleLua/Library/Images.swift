import RiffleIO
import RiffleTensor

/// Images in files and on sheets.
enum ImageLibrary {
    private static let layout = [
        Argument("columns", .integer(1...100_000), "images a row", default: .integer(8)),
        Argument("padding", .integer(0...1000), "black pixels between and around", default: .integer(2)),
        Argument(
            "range", .list(.number),
            "the values of black and white; where not given { -1, 1 }, and int32 images are bytes", default: .none),
    ]

    static let functions: [Function] = [
        Function(
            "image.load",
            [
                Argument("path", .string, "a PNG, JPEG or WebP"),
                Argument(
                    "channels", .integer(1...4), "1 grey, 2 with alpha, 3 RGB, 4 RGBA; the file's own where not given",
                    default: .none),
            ],
            Doc(
                "Reads a picture as float32 in [-1, 1].",
                shapes: "-> [height, width, channels]: 1 grey, 2 with alpha, 3 RGB, 4 RGBA",
                example:
                    """
                    > local path = os.tmpname(); riffle.image.save(path, riffle.ones(2, 3, 3))
                    > local x = riffle.image.load(path); os.remove(path); return x:shape(), x:min():item()
                    [2, 3, 3]\t1.0
                    """
            )
        ) { [.tensor(try ImageFile.load($0.string("path"), channels: $0.optionalInteger("channels")))] },
        Function(
            "image.grid", [Argument("images", .tensor)] + layout,
            Doc(
                "Lays images out in rows, with black between them.",
                shapes: "images [n, height, width, channels] -> [rows, columns, channels] of pixels",
                example: "> riffle.image.grid(riffle.zeros(6, 8, 8, 3), { columns = 3 }):shape()\n[22, 32, 3]")
        ) {
            [
                .tensor(
                    try ImageGrid.grid(
                        $0.tensor("images"), columns: $0.integer("columns"), padding: $0.integer("padding"),
                        range: $0.range("range")))
            ]
        },
        Function(
            "image.save",
            [Argument("path", .string, "ends in .png"), Argument("images", .tensor)] + layout + [
                Argument("text", .named, "texts to note in the file, by key", default: .none)
            ],
            Doc(
                "Writes images as one PNG, several as a grid.",
                formula:
                    "byte = floor(255 u + 1/2), u = (v - low) / (high - low) within [0, 1]; int32 images without a "
                    + "range are bytes",
                shapes: "images [n, height, width, channels], [height, width, channels] or [height, width]",
                example:
                    """
                    > local path = os.tmpname(); riffle.image.save(path, riffle.zeros(4, 8, 8, 3), { columns = 2 })
                    > local x = riffle.image.load(path); os.remove(path); return x:shape()
                    [22, 22, 3]
                    """
            )
        ) {
            try ImageGrid.save(
                $0.tensor("images"), to: $0.string("path"), columns: $0.integer("columns"),
                padding: $0.integer("padding"),
                range: $0.range("range"),
                text: $0.texts("text"))
            return []
        },
    ]

    static let classes: [ObjectClass] = []
}
