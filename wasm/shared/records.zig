//! The records of a table of delimited values, and how its program delimits them.

const std = @import("std");
const tool = @import("tool.zig");
const cell = @import("cell.zig");

/// A reader of a table whose delimiter is found out.
pub fn open(text: []const u8) tool.Error!Reader {
    if (declared(text)) |reader| return reader;
    var best: ?Reader = null;
    var most: Fit = .{};
    for ("\t;|,") |delimiter| {
        var reader = Reader{ .text = text, .delimiter = delimiter };
        const fit = try measure(&reader);
        const found = Reader{ .text = text, .delimiter = delimiter, .header_after = fit.header_after };
        if (best == null or fit.isBetter(most)) {
            best = found;
            most = fit;
        }
    }
    return best.?;
}

/// Excel's own way: a first line `sep=;`.
fn declared(text: []const u8) ?Reader {
    if (!std.ascii.startsWithIgnoreCase(text, "sep=") or text.len < 6) return null;
    const end: usize = if (text[5] == '\r' and text.len > 6 and text[6] == '\n') 7 else if (text[5] == '\n' or text[5] == '\r') 6 else return null;
    return .{ .text = text, .delimiter = text[4], .at = end, .line = 2 };
}

/// How well a delimiter explains the first records.
const Fit = struct {
    /// Of a thousand records, how many have the header's fields.
    regular: usize = 0,
    /// Of a thousand cells, how many are numbers, dates or nothing.
    typed: usize = 0,
    width: usize = 0,
    header_after: usize = 0,

    fn isBetter(self: Fit, other: Fit) bool {
        if ((self.width >= 2) != (other.width >= 2)) return self.width >= 2;
        if (self.width < 2) return self.regular >= other.regular; // one column: what is in none of its cells, at best a comma
        if (self.regular != other.regular) return self.regular > other.regular;
        if (self.typed != other.typed) return self.typed > other.typed;
        return self.width > other.width;
    }
};

const sample = 100;

fn measure(reader: *Reader) tool.Error!Fit {
    var widths: [sample]usize = undefined;
    var taken: [sample]Record = undefined;
    var count: usize = 0;
    while (count < sample) : (count += 1) {
        const record = try reader.next() orelse break;
        taken[count] = record;
        widths[count] = if (record.problem == null) record.fields.len else 0;
    }
    if (count == 0) return .{};
    const header = headerAfter(widths[0..count]);
    const width = widths[header];
    var fit = Fit{ .width = width, .header_after = header };
    var regular: usize = 0;
    var cells: usize = 0;
    var typed: usize = 0;
    for (taken[header..count], widths[header..count], 0..) |record, its, index| {
        if (its == width) regular += 1;
        if (index == 0 or its == 0) continue;
        for (record.fields) |field| {
            cells += 1;
            if (cell.typeOf(field, .point) != .text) typed += 1;
        }
    }
    fit.regular = regular * 1000 / count;
    fit.typed = if (cells == 0) 0 else typed * 1000 / cells;
    return fit;
}

/// How many records come before the header: a title, an account's data. The table is what most records are like.
fn headerAfter(widths: []const usize) usize {
    var usual: usize = 0;
    var most: usize = 0;
    for (widths) |width| {
        const same = std.mem.count(usize, widths, &.{width});
        if (same > most or (same == most and width > usual)) {
            usual = width;
            most = same;
        }
    }
    if (usual < 3 or most * 2 <= widths.len or widths[0] >= usual) return 0;
    return std.mem.indexOfScalar(usize, widths, usual) orelse 0;
}

pub const Record = struct {
    line: usize,
    fields: []const []const u8,
    problem: ?[]const u8,
};

/// Splits a text into records; a quoted field may contain delimiters and line breaks.
pub const Reader = struct {
    text: []const u8,
    delimiter: u8,
    at: usize = 0,
    line: usize = 1,
    /// How many records come before the header.
    header_after: usize = 0,

    /// The next record that is not a blank line.
    pub fn next(self: *Reader) tool.Error!?Record {
        while (self.at < self.text.len) {
            const start = self.line;
            var fields: std.ArrayList([]const u8) = .empty;
            var problem: ?[]const u8 = null;
            while (true) {
                const field = if (self.peek() == '"') try self.quoted(&problem) else unwrapped(self.unquoted());
                try fields.append(tool.arena(), field);
                if (self.peek() != self.delimiter) break;
                self.at += 1;
            }
            self.endLine();
            const blank = fields.items.len == 1 and fields.items[0].len == 0;
            if (!blank) return .{ .line = start, .fields = fields.items, .problem = problem };
        }
        return null;
    }

    fn peek(self: Reader) ?u8 {
        return if (self.at < self.text.len) self.text[self.at] else null;
    }

    fn unquoted(self: *Reader) []const u8 {
        const start = self.at;
        while (self.peek()) |byte| : (self.at += 1) {
            if (byte == self.delimiter or byte == '\n' or byte == '\r') break;
        }
        return std.mem.trim(u8, self.text[start..self.at], " ");
    }

    fn quoted(self: *Reader, problem: *?[]const u8) tool.Error![]const u8 {
        self.at += 1;
        const start = self.at;
        var doubled = false;
        while (self.peek()) |byte| : (self.at += 1) {
            if (byte == '\n') self.line += 1;
            if (byte != '"') continue;
            if (self.at + 1 >= self.text.len or self.text[self.at + 1] != '"') break;
            doubled = true;
            self.at += 1;
        } else {
            problem.* = "has a quote that is never closed";
            return self.text[start..];
        }
        const inner = self.text[start..self.at];
        self.at += 1;
        const rest = self.unquoted();
        if (rest.len > 0) problem.* = "has text after a closing quote";
        return if (doubled) std.mem.replaceOwned(u8, tool.arena(), inner, "\"\"", "\"") else inner;
    }

    fn endLine(self: *Reader) void {
        if (self.peek() == '\r') self.at += 1;
        if (self.peek() == '\n') self.at += 1;
        self.line += 1;
    }
};

/// What Excel is told to take as text, `="01067"`, is the text.
fn unwrapped(field: []const u8) []const u8 {
    if (field.len < 3 or !std.mem.startsWith(u8, field, "=\"") or field[field.len - 1] != '"') return field;
    const inner = field[2 .. field.len - 1];
    return if (std.mem.indexOfScalar(u8, inner, '"') == null) inner else field;
}
