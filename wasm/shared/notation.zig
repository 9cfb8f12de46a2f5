//! Numbers as people and programs of many countries write them.
//!
//! "1.234" is one thousand and more in Berlin, and a bit more than one in London: a cell alone does not tell. So a cell is read in both
//! ways, and the column that it is in decides.

const std = @import("std");

pub const Decimal = enum { point, comma };

pub const Value = struct {
    number: f64,
    /// Whether it has decimals, a percent sign or an exponent.
    fraction: bool,
};

/// What a cell says.
pub const Reading = struct {
    /// With a decimal point, and with a decimal comma; null where the cell cannot be read so.
    point: ?Value,
    comma: ?Value,
    /// "$", "EUR", "%", or nothing.
    unit: []const u8 = "",
    /// Whether it is rather a code than a quantity: leading zeros, more digits than a number keeps, a telephone number, "12E4".
    code: bool = false,

    /// Whether the two readings differ.
    pub fn isAmbiguous(self: Reading) bool {
        const point, const comma = .{ self.point orelse return false, self.comma orelse return false };
        return point.number != comma.number;
    }

    /// Which decimal sign the cell shows; null where it fits both, or shows none.
    pub fn evidence(self: Reading) ?Decimal {
        if (self.point != null and self.comma == null) return .point;
        if (self.comma != null and self.point == null) return .comma;
        return null;
    }

    /// The value in a column of that notation; in one that is unknown only where the cell alone tells.
    pub fn in(self: Reading, decimal: ?Decimal) ?Value {
        if (self.evidence()) |sign| return if (sign == .point) self.point else self.comma;
        if (!self.isAmbiguous()) return self.point;
        return switch (decimal orelse return null) {
            .point => self.point,
            .comma => self.comma,
        };
    }
};

const longest = 64;
const any_decimal = 1; // a decimal sign that can be nothing else

/// The number that a person sees, or null: 1234.5, 1,234.50, 1.234,50, 1 234,50, 1'234.50, 12,34,567.8, (250.00), 40-, −30, $12, 12 €.
pub fn read(text: []const u8) ?Reading {
    if (text.len == 0 or text.len > longest or (std.ascii.isAlphabetic(text[0]) and !mayBeginWithUnit(text))) return null;
    var buffer: [longest]u8 = undefined;
    var value = std.mem.trim(u8, normalized(text, &buffer) orelse return null, " ");
    var negative = false;
    var signed = false;
    var plus = false;
    var unit: []const u8 = "";
    // Signs, units and parentheses come in every order: -$5, $-5, ($5), 5- €.
    while (value.len > 1) {
        const first, const last = .{ value[0], value[value.len - 1] };
        if (first == '(' and last == ')' and !signed) {
            signed, negative = .{ true, true };
            value = value[1 .. value.len - 1];
        } else if ((first == '-' or first == '+') and !signed) {
            signed, negative, plus = .{ true, first == '-', first == '+' };
            value = value[1..];
        } else if (endsWithDash(value)) |without| { // "12.-" and "12,--": no cents
            value = without;
        } else if ((last == '-' or last == '+') and !signed) {
            signed, negative = .{ true, last == '-' };
            value = value[0 .. value.len - 1];
        } else if (unit.len == 0) {
            const found = unitAt(value) orelse break;
            unit = found.unit;
            value = found.rest;
        } else break;
        value = std.mem.trim(u8, value, " ");
    }
    if (value.len > 1 and value[value.len - 1] == '.') value = value[0 .. value.len - 1]; // "1.", "2.": no decimals
    if (value.len == 0 or !(std.ascii.isDigit(value[0]) or (value.len > 1 and isDecimalSign(value[0])))) return null;
    const point, const comma = .{ plain(value, '.', ','), plain(value, ',', '.') };
    if (point == null and comma == null) return null;
    return .{
        .point = signedValue(point, negative, unit),
        .comma = signedValue(comma, negative, unit),
        .unit = if (unit.len == 0) "" else unitIn(text, unit),
        .code = unit.len == 0 and isCode(value, plus),
    };
}

/// Whether a text that begins with a letter has a digit at all: most texts are settled by this.
fn mayBeginWithUnit(text: []const u8) bool {
    for (text) |byte| if (std.ascii.isDigit(byte) or byte >= 0x80) return true;
    return false;
}

fn signedValue(number: ?Value, negative: bool, unit: []const u8) ?Value {
    const value = number orelse return null;
    return .{
        .number = if (negative) -value.number else value.number,
        .fraction = value.fraction or std.mem.eql(u8, unit, "%"),
    };
}

fn isDecimalSign(byte: u8) bool {
    return byte == '.' or byte == ',' or byte == any_decimal;
}

fn isCode(value: []const u8, plus: bool) bool {
    var digits: usize = 0;
    for (value) |byte| {
        if (std.ascii.isDigit(byte)) digits += 1 else if (byte == 'e' or byte == 'E') break else if (byte != ' ') return false;
    }
    if (digits == value.len) return digits > 15 or (value[0] == '0' and digits > 1) or (plus and digits >= 8);
    const exponent = std.mem.indexOfAny(u8, value, "eE") orelse return value[0] == '0';
    return exponent + 1 < value.len and std.ascii.isDigit(value[exponent + 1]); // programs write a sign: 1e+16
}

/// Reads digits in groups, decimals and an exponent, with these signs; null if they are not built so.
fn plain(text: []const u8, point: u8, comma: u8) ?Value {
    var buffer: [longest + 1]u8 = undefined;
    var length: usize = 0;
    var group: usize = 0; // digits since the last separator
    var groups: usize = 0;
    var separator: u8 = 0;
    var fraction: ?usize = null; // digits behind the decimal sign
    var exponent = false;
    for (text, 0..) |byte, index| {
        if (std.ascii.isDigit(byte)) {
            if (fraction) |*digits| digits.* += 1 else group += 1;
        } else if (byte == comma or byte == ' ' or byte == '\'') {
            // 1,234,567 and, in India, 12,34,567.
            const fits = if (groups == 0) group >= 1 and group <= 3 and text[0] != '0' else group == 3 or group == 2;
            if (!fits or fraction != null or (separator != 0 and separator != byte)) return null;
            separator = byte;
            groups += 1;
            group = 0;
            continue;
        } else if ((byte == point or byte == any_decimal) and fraction == null) {
            if (groups > 0 and group != 3) return null;
            fraction = 0;
        } else if ((byte == 'e' or byte == 'E') and groups == 0 and index > 0) {
            const rest = text[index + 1 ..];
            const digits = std.mem.trimLeft(u8, rest, "+-");
            if (digits.len == 0 or digits.len > 3 or rest.len - digits.len > 1) return null;
            for (digits) |its| if (!std.ascii.isDigit(its)) return null;
            @memcpy(buffer[length..][0 .. text.len - index], text[index..]);
            length += text.len - index;
            exponent = true;
            break;
        } else return null;
        buffer[length] = if (std.ascii.isDigit(byte)) byte else '.';
        length += 1;
    }
    if (groups > 0 and fraction == null and group != 3) return null;
    if (groups > 1 and !isGrouped(text, separator)) return null;
    const number = std.fmt.parseFloat(f64, buffer[0..length]) catch return null;
    if (!std.math.isFinite(number)) return null;
    return .{ .number = number, .fraction = fraction != null or exponent };
}

/// Whether all groups but the first have three digits, or, as in India, two each and three at the end.
fn isGrouped(text: []const u8, separator: u8) bool {
    var parts = std.mem.splitScalar(u8, text, separator);
    _ = parts.next();
    const width = (parts.peek() orelse return true).len;
    while (parts.next()) |part| {
        if (parts.peek() == null) return true; // looked at by the caller, with its decimals
        if (part.len != width) return false;
    }
    return true;
}

fn endsWithDash(value: []const u8) ?[]const u8 {
    var end = value.len;
    while (end > 0 and value[end - 1] == '-') end -= 1;
    if (end == value.len or end < 2 or !(value[end - 1] == '.' or value[end - 1] == ',')) return null;
    return value[0 .. end - 1];
}

fn isOfNumber(byte: u8) bool {
    return std.ascii.isDigit(byte) or isDecimalSign(byte);
}

const Unit = struct { unit: []const u8, rest: []const u8 };

/// Longer ones first, for one may begin with another.
const words = [_][]const u8{
    "US$", "HK$", "NZ$", "AU$", "CA$", "R$",  "A$",  "C$",  "S$",  "SFr.", "Fr.", "Rs.", "Rs",  "kr.", "kr",  "zł", "Kč", "Ft",  "лв.", "лв", "руб.", "руб",
    "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "SEK", "NOK", "DKK",  "PLN", "CZK", "HUF", "CAD", "AUD", "NZD", "BRL", "MXN", "ZAR",   "TRY",  "KRW",     "RUB",
    "UAH", "SGD", "HKD", "ILS", "THB", "RON", "BGN", "ISK", "AED", "SAR",  "$",   "£",  "¥",  "円", "元",
};

fn unitAt(value: []const u8) ?Unit {
    if (isOfNumber(value[0]) and isOfNumber(value[value.len - 1])) return null;
    if (value[value.len - 1] == '%') return .{ .unit = "%", .rest = value[0 .. value.len - 1] };
    if (value[0] == '%') return .{ .unit = "%", .rest = value[1..] };
    for (words) |word| {
        if (value.len <= word.len) continue;
        if (std.ascii.eqlIgnoreCase(value[0..word.len], word)) return .{ .unit = word, .rest = value[word.len..] };
        const end = value.len - word.len;
        if (std.ascii.eqlIgnoreCase(value[end..], word)) return .{ .unit = word, .rest = value[0..end] };
    }
    for ([_]usize{ 0, value.len -| 3 }) |start| { // the signs of currencies, U+20A0 to U+20CF
        const sign = value[start..@min(start + 3, value.len)];
        if (sign.len < 3 or sign[0] != 0xE2 or sign[1] < 0x82 or sign[1] > 0x83 or (sign[1] == 0x82 and sign[2] < 0xA0) or
            (sign[1] == 0x83 and sign[2] > 0x8F)) continue;
        return .{ .unit = sign, .rest = if (start == 0) value[3..] else value[0..start] };
    }
    return null;
}

/// The unit as a part of `text`, which lives longer than the buffer that it was found in.
fn unitIn(text: []const u8, unit: []const u8) []const u8 {
    for (words) |word| if (std.mem.eql(u8, word, unit)) return word;
    const start = std.mem.indexOf(u8, text, unit) orelse return "%";
    return text[start .. start + unit.len];
}

/// The text with ASCII in place of other digits, spaces, signs and apostrophes, and without invisible characters.
fn normalized(text: []const u8, buffer: *[longest]u8) ?[]const u8 {
    const ascii_only = for (text) |byte| {
        if (byte >= 0x80 or byte == '\t') break false;
    } else true;
    if (ascii_only) return text;
    var length: usize = 0;
    var index: usize = 0;
    while (index < text.len) {
        const size = std.unicode.utf8ByteSequenceLength(text[index]) catch return null;
        if (index + size > text.len) return null;
        const bytes = text[index .. index + size];
        index += size;
        const character = std.unicode.utf8Decode(bytes) catch return null;
        const ascii: u8 = switch (character) {
            '\t', 0xA0, 0x2002...0x200A, 0x202F, 0x205F, 0x3000 => ' ',
            0x200B...0x200F, 0x202A...0x202E, 0x2060...0x2069, 0x61C, 0xFEFF => continue,
            0x2010...0x2015, 0x2212, 0xFE63, 0xFF0D => '-',
            0xFF0B => '+',
            0x2019, 0x2BC, 0xFF07, 0x66C => '\'',
            0x66B => any_decimal,
            0x66A, 0xFF05 => '%',
            0xFF0C => ',',
            0xFF0E => '.',
            0xFF08 => '(',
            0xFF09 => ')',
            0x660...0x669 => digit(character, 0x660),
            0x6F0...0x6F9 => digit(character, 0x6F0),
            0x966...0x96F => digit(character, 0x966),
            0x9E6...0x9EF => digit(character, 0x9E6),
            0xE50...0xE59 => digit(character, 0xE50),
            0xFF10...0xFF19 => digit(character, 0xFF10),
            else => {
                @memcpy(buffer[length..][0..size], bytes);
                length += size;
                continue;
            },
        };
        buffer[length] = ascii;
        length += 1;
    }
    return buffer[0..length];
}

fn digit(character: u21, zero: u21) u8 {
    return '0' + @as(u8, @intCast(character - zero));
}
