//! Writes an SVG document: well-formed whatever the texts contain.

const std = @import("std");
const tool = @import("tool");
const Chart = @import("chart.zig");

const Svg = @This();

out: std.Io.Writer.Allocating,

pub const ink = "#111827";
pub const soft_ink = "#4b5563";
pub const faint_ink = "#6b7280";

const palette = [_][]const u8{
    "#2f6fed", "#f0883e", "#14a38b", "#d6456b", "#8b5cf6", "#c9a227", "#2aa5d8", "#7a8b3c", "#9c5f4a", "#64748b",
    "#97b7f6", "#f8c4a0", "#8ad1c5", "#eba2b5", "#c5aefb", "#e4d193", "#95d2ec", "#bdc59e", "#ceafa5", "#b2bac5",
};

pub fn color(index: usize) []const u8 {
    return palette[index % palette.len];
}

/// The text colour that reads well on `color(index)`.
pub fn colorOver(index: usize) []const u8 {
    return if (index % palette.len < 10) "#ffffff" else ink;
}

/// A coordinate: `{f}` writes it with at most one decimal.
pub fn px(value: f64) Pixels {
    return .{ .tenths = @intFromFloat(@round(value * 10)) };
}

const Pixels = struct {
    tenths: i32,

    pub fn format(self: Pixels, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        if (self.tenths < 0) try writer.writeByte('-');
        try writer.print("{d}", .{@abs(self.tenths) / 10});
        if (@abs(self.tenths) % 10 != 0) try writer.print(".{d}", .{@abs(self.tenths) % 10});
    }
};

/// A text with XML's own characters escaped and the characters that XML forbids replaced: write it with `{f}`.
pub fn escaped(text: []const u8) Escaped {
    return .{ .text = text };
}

const Escaped = struct {
    text: []const u8,

    pub fn format(self: Escaped, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        var rest = self.text;
        while (rest.len > 0) {
            const length: usize = std.unicode.utf8ByteSequenceLength(rest[0]) catch 1;
            const character = rest[0..@min(length, rest.len)];
            rest = rest[character.len..];
            switch (character[0]) {
                '&' => try writer.writeAll("&amp;"),
                '<' => try writer.writeAll("&lt;"),
                '>' => try writer.writeAll("&gt;"),
                '"' => try writer.writeAll("&quot;"),
                '\t', '\n', '\r' => try writer.writeByte(' '),
                0...8, 11, 12, 14...31 => try writer.writeAll("\u{FFFD}"),
                else => {
                    const forbidden = std.mem.eql(u8, character, "\u{FFFE}") or std.mem.eql(u8, character, "\u{FFFF}");
                    try writer.writeAll(if (forbidden) "\u{FFFD}" else character);
                },
            }
        }
    }
};

pub fn init() Svg {
    return .{ .out = .init(tool.arena()) };
}

pub fn print(self: *Svg, comptime format: []const u8, values: anytype) tool.Error!void {
    try self.out.writer.print(format, values);
}

/// Starts the document: its size, its accessible title, its background.
pub fn open(self: *Svg, chart: Chart) tool.Error!void {
    try self.print(
        \\<svg xmlns="http://www.w3.org/2000/svg" width="{[width]f}" height="{[height]f}" viewBox="0 0 {[width]f} {[height]f}" role="img"
        \\ font-family="Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif" font-size="12" fill="{[ink]s}">
        \\<title>{[title]f}</title>
        \\<rect width="100%" height="100%" fill="#ffffff"/>
        \\
    , .{ .width = px(chart.width), .height = px(chart.height), .ink = soft_ink, .title = escaped(chart.title) });
}

pub fn close(self: *Svg) tool.Error![]const u8 {
    try self.print("</svg>\n", .{});
    return self.out.written();
}

/// One line of text whose baseline starts (or ends, or is centred) at x, y. `attributes` is SVG, written as it is.
pub fn write(self: *Svg, x: f64, y: f64, attributes: []const u8, content: []const u8) tool.Error!void {
    const space = if (attributes.len > 0) " " else "";
    try self.print("<text x=\"{f}\" y=\"{f}\"{s}{s}>{f}</text>\n", .{ px(x), px(y), space, attributes, escaped(content) });
}
