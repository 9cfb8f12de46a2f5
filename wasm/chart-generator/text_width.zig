//! Estimates how wide a text will be, since a drawing without a browser cannot measure it.

const std = @import("std");
const tool = @import("tool");

/// Widths of ASCII from the space on, in thousandths of the font size, as in Helvetica's metrics.
const ascii = [95]u16{
    278, 278, 355, 556, 556, 889, 667, 191, 333,  333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667,  667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556,
    556, 222, 222, 500, 222, 833, 556, 556, 556,  556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
};

/// Room for fonts that run wider than Helvetica.
const allowance = 1.06;

pub fn of(text: []const u8, font_size: f64) f64 {
    var thousandths: f64 = 0;
    var points = iterate(text);
    while (points.nextCodepoint()) |point| thousandths += widthOf(point);
    return thousandths / 1000 * font_size * allowance;
}

/// The widest of several texts.
pub fn widest(texts: []const []const u8, font_size: f64) f64 {
    var width: f64 = 0;
    for (texts) |text| width = @max(width, of(text, font_size));
    return width;
}

/// The text, or as much of it as fits `limit` with an ellipsis.
pub fn fit(text: []const u8, font_size: f64, limit: f64) tool.Error![]const u8 {
    if (of(text, font_size) <= limit) return text;
    var room = limit - of("…", font_size);
    var end: usize = 0;
    var points = iterate(text);
    while (points.nextCodepointSlice()) |character| {
        room -= of(character, font_size);
        if (room < 0) break;
        end = points.i;
    }
    return std.fmt.allocPrint(tool.arena(), "{s}…", .{std.mem.trimRight(u8, text[0..end], " ")});
}

fn iterate(text: []const u8) std.unicode.Utf8Iterator {
    return (std.unicode.Utf8View.init(text) catch unreachable).iterator(); // the component model has checked it
}

fn widthOf(point: u21) f64 {
    return switch (point) {
        0...31, 0x300...0x36F, 0x200B...0x200F, 0xFE00...0xFE0F => 0, // controls, combining marks, joiners
        32...126 => @floatFromInt(ascii[point - 32]),
        0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFF00...0xFF60 => 1000, // CJK
        0x1F000...0x1FAFF => 1250, // emoji
        else => 600,
    };
}
