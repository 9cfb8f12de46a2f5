//! Dates as tables have them, and their order in time.

const std = @import("std");

/// Which part of 01/02/2026 is the day.
pub const Order = enum { day_first, month_first, unknown };

const shapes = [_][]const u8{
    "dddd-dd-dd", "dddd-dd",    "dddd/dd/dd", "dddd/d/d",  "dddd.dd.dd", "dddd.d.d",   "dd.dd.dddd", "d.dd.dddd", "dd.d.dddd",
    "d.d.dddd",   "dd/dd/dddd", "d/dd/dddd",  "dd/d/dddd", "d/d/dddd",   "dd-dd-dddd", "dd.dd.dd",   "dd/dd/dd",  "d/d/dd",
    "d/dd/dd",    "dd/d/dd",    "dddd-Qd",    "Qd",
};

/// 2025-01-31, 2025-01, 2025/01/31, 31.01.2025, 31.01.25, 1/31/2025, 2025-Q1, an ISO time after a date, or a month's name.
pub fn isDate(value: []const u8) bool {
    if (value.len < 2 or value.len > 40) return false;
    if (std.ascii.isDigit(value[0])) { // most numbers are settled by this
        const sign = std.mem.indexOfAny(u8, value[0..@min(value.len, 5)], "-/.") orelse return false;
        if (sign == 3) return false;
    } else if (!std.ascii.isAlphabetic(value[0])) return false;
    const date = dayOf(value);
    const rest = value[date.len..];
    for (shapes) |shape| if (hasShape(date, shape)) return rest.len == 0 or isTime(rest[1..]) or hasShape(rest, " dddd");
    return isMonth(date) and (rest.len == 0 or hasShape(rest, " dddd") or hasShape(rest, " dd"));
}

/// What a date of day, month and year says of the order of its parts; null where it says nothing.
pub fn orderOf(value: []const u8) ?Order {
    const parts = partsOf(value) orelse return null;
    if (parts.year_first) return null;
    if (parts.separator == '.' or parts.numbers[0] > 12) return .day_first; // with dots nobody puts the month first
    return if (parts.numbers[1] > 12) .month_first else .unknown;
}

/// A number that grows with time, of the day alone; null where there is none.
pub fn dayNumber(value: []const u8, order: Order) ?u32 {
    const parts = partsOf(value) orelse return null;
    const numbers = parts.numbers;
    if (parts.year_first) return numbers[0] * 10_000 + numbers[1] * 100 + numbers[2];
    const year = if (numbers[2] < 70) numbers[2] + 2_000 else if (numbers[2] < 100) numbers[2] + 1_900 else numbers[2];
    const day_first = order == .day_first or parts.separator == '.' or (order == .unknown and numbers[0] > 12);
    if (!day_first and order == .unknown and numbers[1] <= 12) return null;
    const month, const day = if (day_first) .{ numbers[1], numbers[0] } else .{ numbers[0], numbers[1] };
    return year * 10_000 + month * 100 + day;
}

/// What follows the day: a time, or nothing.
pub fn timeOf(value: []const u8) []const u8 {
    const date = dayOf(value);
    return value[@min(date.len + 1, value.len)..];
}

fn dayOf(value: []const u8) []const u8 {
    return if (std.mem.indexOfAny(u8, value, "T ")) |end| value[0..end] else value;
}

const Parts = struct { numbers: [3]u32, separator: u8, year_first: bool };

fn partsOf(value: []const u8) ?Parts {
    const day = dayOf(value);
    const at = std.mem.indexOfAny(u8, day, "-/.") orelse return null;
    var parts = Parts{ .numbers = .{ 0, 0, 0 }, .separator = day[at], .year_first = at == 4 };
    var pieces = std.mem.splitScalar(u8, day, parts.separator);
    var count: usize = 0;
    while (pieces.next()) |piece| : (count += 1) {
        if (count == 3 or piece.len == 0 or piece.len > 4) return null;
        parts.numbers[count] = std.fmt.parseInt(u32, piece, 10) catch return null;
    }
    if (count < 2 or (count == 2 and !parts.year_first)) return null;
    return parts;
}

fn isTime(text: []const u8) bool {
    return (text.len >= 5 and hasShape(text[0..5], "dd:dd")) or (text.len >= 4 and hasShape(text[0..4], "d:dd"));
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
