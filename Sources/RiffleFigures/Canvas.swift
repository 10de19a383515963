import CCairo
import RiffleIO
import RiffleTensor

/// A colour: red, green and blue from 0 to 1.
struct Color: Sendable {
    var red: Double, green: Double, blue: Double

    init(_ hex: Int) {
        red = Double(hex >> 16 & 255) / 255
        green = Double(hex >> 8 & 255) / 255
        blue = Double(hex & 255) / 255
    }

    static let ink = Color(0x222222), axis = Color(0x555555), grid = Color(0xE4E4E4), paper = Color(0xFFFFFF)

    /// Okabe and Ito's colours, which colour-blind readers can distinguish, without the yellow, too pale for paper.
    static let series = [0x0072B2, 0xD55E00, 0x009E73, 0xCC79A7, 0xE69F00, 0x56B4E9, 0x000000].map(Color.init)
}

/// A rectangle in points, y downwards.
struct Frame {
    var x: Double, y: Double, width: Double, height: Double
    var right: Double { x + width }
    var bottom: Double { y + height }
}

/// A sheet to draw on, by cairo. Lengths are in points, two pixels each.
final class Canvas {
    private let surface: OpaquePointer
    /// Four bytes per pixel: blue, green, red and an unused one. They are tensor memory, so that they are counted and
    /// their lack is an error.
    private let pixels: Storage
    private let rowBytes: Int
    private let context: OpaquePointer
    private let width: Int, height: Int
    private static let scale = 2.0

    /// - Throws: `RiffleError` when the sheet is too large, or memory runs out.
    init(width: Double, height: Double) throws {
        self.width = Int((width * Canvas.scale).rounded(.up))
        self.height = Int((height * Canvas.scale).rounded(.up))
        // Cairo's sides go up to 32767; a longer side has no stride.
        rowBytes = max(0, Int(cairo_format_stride_for_width(CAIRO_FORMAT_RGB24, Int32(clamping: self.width))))
        pixels = try Storage(bytes: rowBytes * min(max(0, self.height), Int(Int16.max)))
        // Cairo never returns null: a surface that could not be made has a status that is not success.
        surface = cairo_image_surface_create_for_data(
            pixels.pointer.assumingMemoryBound(to: UInt8.self), CAIRO_FORMAT_RGB24, Int32(clamping: self.width),
            Int32(clamping: self.height),
            Int32(rowBytes))
        context = cairo_create(surface)
        guard cairo_status(context) == CAIRO_STATUS_SUCCESS else {
            throw RiffleError(
                "",
                "a picture \(PictureSize(width: self.width, height: self.height)) cannot be drawn: "
                    + "\(String(cString: cairo_status_to_string(cairo_status(context))))"
            )
        }
        cairo_scale(context, Canvas.scale, Canvas.scale)
        cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND)
        cairo_set_line_cap(context, CAIRO_LINE_CAP_ROUND)
        paint(.paper)
        cairo_paint(context)
    }

    deinit {
        cairo_destroy(context)
        cairo_surface_destroy(surface)
    }

    private func paint(_ color: Color, _ opacity: Double = 1) {
        cairo_set_source_rgba(context, color.red, color.green, color.blue, opacity)
    }

    /// Draws a line through points.
    func line(_ points: [(x: Double, y: Double)], _ color: Color, width: Double = 1) {
        paint(color)
        cairo_set_line_width(context, width)
        // A stroke's time grows with the square of a noisy line's length, so a long line is many strokes.
        let most = 400
        for start in stride(from: 0, to: points.count - 1, by: most) {
            cairo_move_to(context, points[start].x, points[start].y)
            for point in points[(start + 1)...min(start + most, points.count - 1)] {
                cairo_line_to(context, point.x, point.y)
            }
            cairo_stroke(context)
        }
    }

    /// Draws discs of a radius; where they overlap, their colour adds up.
    func dots(_ points: some Sequence<(x: Double, y: Double)>, _ color: Color, radius: Double, opacity: Double = 1) {
        paint(color, opacity)
        for point in points {
            cairo_new_path(context)
            cairo_arc(context, point.x, point.y, radius, 0, 2 * Double.pi)
            cairo_fill(context)
        }
    }

    /// Draws a translucent area with its outline.
    func area(_ outline: [(x: Double, y: Double)], _ color: Color) {
        guard let first = outline.first else { return }
        cairo_move_to(context, first.x, first.y)
        for point in outline.dropFirst() { cairo_line_to(context, point.x, point.y) }
        paint(color, 0.25)
        cairo_fill_preserve(context)
        paint(color)
        cairo_set_line_width(context, 1.2)
        cairo_stroke(context)
    }

    /// Clips the drawing of `body` to the frame.
    func clipped(to frame: Frame, _ body: () -> Void) {
        cairo_save(context)
        cairo_rectangle(context, frame.x, frame.y, frame.width, frame.height)
        cairo_clip(context)
        body()
        cairo_restore(context)
    }

    // MARK: - Text

    struct Style {
        var size: Double
        var isBold = false

        static let tick = Style(size: 10), label = Style(size: 11), title = Style(size: 12, isBold: true),
            heading = Style(size: 14, isBold: true)
    }

    private func select(_ style: Style) {
        cairo_select_font_face(
            context, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
            style.isBold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL)
        cairo_set_font_size(context, style.size)
    }

    func width(of text: String, _ style: Style) -> Double {
        select(style)
        var extents = cairo_text_extents_t()
        cairo_text_extents(context, text.repaired, &extents)
        return extents.x_advance
    }

    /// Draws a line of text beside a point.
    /// - Parameters:
    ///   - anchor: the part of the text that is left of the point.
    ///   - rise: the part of a capital's height that is below the point.
    ///   - upwards: whether the text is read from bottom to top.
    func text(
        _ text: String, x: Double, y: Double, _ style: Style, anchor: Double = 0, rise: Double = 0,
        upwards: Bool = false
    ) {
        let width = width(of: text, style)
        paint(.ink)
        cairo_save(context)
        cairo_translate(context, x, y)
        if upwards { cairo_rotate(context, -Double.pi / 2) }
        cairo_move_to(context, -anchor * width, rise * 0.73 * style.size)
        cairo_show_text(context, text.repaired)
        cairo_restore(context)
    }

    // MARK: - File

    /// Writes the sheet as a PNG, whole or not at all.
    func save(to path: String, text: [String: String] = [:]) throws {
        cairo_surface_flush(surface)
        guard cairo_status(context) == CAIRO_STATUS_SUCCESS else {
            throw RiffleError(
                "", "the picture could not be drawn: \(String(cString: cairo_status_to_string(cairo_status(context))))")
        }
        try PNG.write(width: width, height: height, channels: 3, text: text, to: path) {
            [pixels, rowBytes, width] y, row in
            let line = pixels.pointer.assumingMemoryBound(to: UInt8.self) + y * rowBytes
            for x in 0..<width {
                for channel in 0..<3 { row[3 * x + channel] = line[4 * x + 2 - channel] }
            }
        }
    }
}
