//! What a cell of a table holds: the type of its text, and its number.

const std = @import("std");

pub const Type = enum {
    empty,
    integer,
    number,
    date,
    boolean,
    text,

    pub fn isNumeric(self: Type) bool {
        return self == .integer or self == .number;
    }

    /// The type of a column that holds values of both types.
    pub fn join(self: Type, other: Type) Type {
        if (self == .empty or self == other) return other;
        if (other == .empty) return self;
        if (self.isNumeric() and other.isNumeric()) return .number;
        return .text;
    }
};

pub fn typeOf(text: []const u8, decimal_comma: bool) Type {
    const value = std.mem.trim(u8, text, " \t");
    if (isMissing(value)) return .empty;
    if (isDate(value)) return .date;
    if (parseNumber(value, if (decimal_comma) .comma_or_point else .point)) |number| {
        const whole = std.mem.indexOfAny(u8, value, ".%eE") == null and number == @trunc(number);
        return if (whole) .integer else .number;
    }
    if (std.ascii.eqlIgnoreCase(value, "true") or std.ascii.eqlIgnoreCase(value, "false")) return .boolean;
    return .text;
}

/// Whether a cell stands for "no value".
pub fn isMissing(text: []const u8) bool {
    const value = std.mem.trim(u8, text, " \t");
    for ([_][]const u8{ "", "-", "n/a", "na", "nan", "null", "none" }) |missing| {
        if (std.ascii.eqlIgnoreCase(value, missing)) return true;
    }
    return false;
}

/// The number that a person sees: 1234.5, 1,234.50, $12, 12%, and with `comma_or_point` also 1.234,50.
pub fn parseNumber(text: []const u8, decimal: enum { point, comma_or_point }) ?f64 {
    var value = std.mem.trim(u8, text, " \t");
    const negative = std.mem.startsWith(u8, value, "-");
    if (negative or std.mem.startsWith(u8, value, "+")) value = value[1..];
    for ([_][]const u8{ "$", "€", "£" }) |currency| {
        if (std.mem.startsWith(u8, value, currency)) value = std.mem.trim(u8, value[currency.len..], " ");
        if (std.mem.endsWith(u8, value, currency)) value = std.mem.trim(u8, value[0 .. value.len - currency.len], " ");
    }
    if (std.mem.endsWith(u8, value, "%")) value = value[0 .. value.len - 1];
    if (value.len == 0 or value.len > 40 or !(std.ascii.isDigit(value[0]) or value[0] == '.')) return null;

    var buffer: [40]u8 = undefined;
    const plain = withoutSeparators(value, '.', ',', &buffer) orelse
        (if (decimal == .comma_or_point) withoutSeparators(value, ',', '.', &buffer) else null) orelse return null;
    const number = std.fmt.parseFloat(f64, plain) catch return null;
    if (!std.math.isFinite(number)) return null;
    return if (negative) -number else number;
}

/// "1,234.5" → "1234.5": digits in groups of three, then decimals, then an exponent. Null if it is not built so.
fn withoutSeparators(text: []const u8, point: u8, separator: u8, buffer: *[40]u8) ?[]const u8 {
    const grouped = std.mem.indexOfScalar(u8, text, separator) != null;
    var length: usize = 0;
    var group: usize = 0; // digits since the last separator
    var groups: usize = 0;
    var in_fraction = false;
    for (text, 0..) |byte, index| {
        if (std.ascii.isDigit(byte)) {
            group += 1;
        } else if (byte == separator) {
            if (in_fraction or (groups > 0 and group != 3) or group > 3) return null;
            groups += 1;
            group = 0;
            continue;
        } else if (byte == point and !in_fraction) {
            if (grouped and group != 3) return null;
            in_fraction = true;
        } else if ((byte == 'e' or byte == 'E') and !grouped and index > 0) {
            const exponent = text[index + 1 ..];
            const digits = std.mem.trimLeft(u8, exponent, "+-");
            if (digits.len == 0 or digits.len > 3 or exponent.len - digits.len > 1) return null;
            for (digits) |digit| if (!std.ascii.isDigit(digit)) return null;
            @memcpy(buffer[length..][0 .. text.len - index], text[index..]);
            return buffer[0 .. length + text.len - index];
        } else return null;
        buffer[length] = if (byte == point) '.' else byte;
        length += 1;
    }
    if (grouped and !in_fraction and group != 3) return null;
    return buffer[0..length];
}

/// 2025-01-31, 2025-01, 2025/01/31, 31.01.2025, 1/31/2025, 2025-Q1, an ISO time after a date, or a month's name.
fn isDate(value: []const u8) bool {
    const date = if (std.mem.indexOfAny(u8, value, "T ")) |end| value[0..end] else value;
    const rest = value[date.len..];
    const shapes = [_][]const u8{
        "dddd-dd-dd", "dddd-dd",   "dddd/dd/dd", "dd.dd.dddd", "d.dd.dddd", "dd.d.dddd", "d.d.dddd",
        "dd/dd/dddd", "d/dd/dddd", "dd/d/dddd",  "d/d/dddd",   "dddd-Qd",   "Qd",
    };
    for (shapes) |shape| if (hasShape(date, shape)) return rest.len == 0 or isTime(rest[1..]) or hasShape(rest, " dddd");
    return isMonth(date) and (rest.len == 0 or hasShape(rest, " dddd") or hasShape(rest, " dd"));
}

fn isTime(text: []const u8) bool {
    return text.len >= 5 and hasShape(text[0..5], "dd:dd");
}

fn isMonth(text: []const u8) bool {
    const months = [_][]const u8{
        "january", "february", "march",     "april",   "may",      "june",
        "july",    "august",   "september", "october", "november", "december",
    };
    const name = std.mem.trimRight(u8, text, ".");
    if (name.len < 3) return false;
    for (months) |month| {
        const short = name.len == 3 or (name.len == 4 and std.ascii.eqlIgnoreCase(name, "sept"));
        if (std.ascii.eqlIgnoreCase(name, if (short) month[0..name.len] else month)) return true;
    }
    return false;
}

/// Whether a text is like a pattern in which d is a digit.
fn hasShape(text: []const u8, shape: []const u8) bool {
    if (text.len != shape.len) return false;
    for (text, shape) |byte, wanted| {
        if (if (wanted == 'd') !std.ascii.isDigit(byte) else byte != wanted) return false;
    }
    return true;
}
