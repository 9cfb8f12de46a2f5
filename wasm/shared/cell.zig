//! What a cell of a table holds: the type of its text.

const std = @import("std");
const date = @import("date.zig");
const notation = @import("notation.zig");

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

pub fn typeOf(text: []const u8, decimal: ?notation.Decimal) Type {
    const value = trim(text);
    if (isMissing(value)) return .empty;
    if (date.isDate(value)) return .date;
    if (notation.read(value)) |reading| {
        const number = reading.in(decimal) orelse return .text;
        return if (number.fraction or number.number != @trunc(number.number)) .number else .integer;
    }
    if (std.ascii.eqlIgnoreCase(value, "true") or std.ascii.eqlIgnoreCase(value, "false")) return .boolean;
    return .text;
}

/// Whether a cell stands for "no value" among values of another type.
pub fn isMissing(text: []const u8) bool {
    const value = trim(text);
    if (value.len > 4 or (value.len > 0 and std.ascii.isDigit(value[0]))) return false;
    for ([_][]const u8{ "", "-", "--", "—", "–", "n/a", "#n/a", "na", "nan", "null", "none", "nil", "\\n", "<na>" }) |missing| {
        if (std.ascii.eqlIgnoreCase(value, missing)) return true;
    }
    return false;
}

/// Without spaces and invisible characters on both sides: other programs put no-break spaces and byte order marks there.
pub fn trim(text: []const u8) []const u8 {
    var value = std.mem.trim(u8, text, " \t");
    if (value.len == 0 or (value[0] < 0x80 and value[value.len - 1] < 0x80)) return value;
    again: while (true) {
        for ([_][]const u8{ "\u{A0}", "\u{202F}", "\u{3000}", "\u{FEFF}", "\u{200B}", "\u{200E}", "\u{200F}" }) |blank| {
            if (std.mem.startsWith(u8, value, blank)) {
                value = std.mem.trim(u8, value[blank.len..], " \t");
                continue :again;
            }
            if (std.mem.endsWith(u8, value, blank)) {
                value = std.mem.trim(u8, value[0 .. value.len - blank.len], " \t");
                continue :again;
            }
        }
        return value;
    }
}
