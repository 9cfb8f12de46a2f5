//! Numbers as people read them.

const std = @import("std");
const Writer = std.Io.Writer;

/// A number in JSON without the noise of binary fractions: at most `decimals` decimals (more where it is small), and no trailing zeros.
pub const Json = struct {
    value: f64,
    decimals: u8 = 6,

    pub fn jsonStringify(self: Json, json: anytype) !void {
        try json.beginWriteRaw();
        try write(json.writer, self.value, self.decimals);
        json.endWriteRaw();
    }
};

/// Writes `value` with at most `decimals` decimals: "1234.5", "-3", "0". Of numbers near zero, so many digits are written: "0.0012".
pub fn write(writer: *Writer, value: f64, decimals: u8) Writer.Error!void {
    var buffer: [400]u8 = undefined;
    try writer.writeAll(plain(&buffer, value, decimals + zerosBehindPoint(value)));
}

/// How many zeros follow the decimal point; no more than a number has digits, for what is smaller is noise of a sum.
fn zerosBehindPoint(value: f64) u8 {
    const size = @abs(value);
    if (size == 0 or size >= 0.1) return 0;
    const zeros = @floor(-@log10(size));
    return if (zeros > 9) 0 else @intFromFloat(zeros);
}

/// Writes `value` with thousands separators and exactly `decimals` decimals: "1,234.50".
pub fn writeGrouped(writer: *Writer, value: f64, decimals: u8) Writer.Error!void {
    var buffer: [400]u8 = undefined;
    const digits = rendered(&buffer, value, decimals);
    const start: usize = if (digits[0] == '-') 1 else 0;
    const end = std.mem.indexOfScalar(u8, digits, '.') orelse digits.len;
    try writer.writeAll(digits[0..start]);
    for (digits[start..end], start..) |digit, index| {
        if (index > start and (end - index) % 3 == 0) try writer.writeByte(',');
        try writer.writeByte(digit);
    }
    try writer.writeAll(digits[end..]);
}

fn rendered(buffer: []u8, value: f64, decimals: u8) []const u8 {
    return std.fmt.float.render(buffer, value, .{ .mode = .decimal, .precision = decimals }) catch unreachable; // 400 bytes hold any f64
}

fn plain(buffer: []u8, value: f64, decimals: u8) []const u8 {
    var text = rendered(buffer, value, decimals);
    if (std.mem.indexOfScalar(u8, text, '.') != null) {
        text = std.mem.trimRight(u8, text, "0");
        text = std.mem.trimRight(u8, text, ".");
    }
    return if (std.mem.eql(u8, text, "-0")) "0" else text;
}
