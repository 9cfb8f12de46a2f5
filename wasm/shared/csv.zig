//! Tables of comma-separated values (RFC 4180): parsed leniently, with rows that do not fit reported by line.

const std = @import("std");
const tool = @import("tool.zig");
const cell = @import("cell.zig");

pub const Table = struct {
    delimiter: u8,
    columns: []Column,
    rows: []const Row,
    bad_rows: usize,
    problems: []const Problem,

    /// The index of a column by its exact name, or by its name in other letter case.
    pub fn find(self: Table, name: []const u8) tool.Error!usize {
        for (self.columns, 0..) |column, index| if (std.mem.eql(u8, column.name, name)) return index;
        for (self.columns, 0..) |column, index| if (std.ascii.eqlIgnoreCase(column.name, name)) return index;
        return tool.refuse("there is no column '{s}'; the columns are {s}", .{ name, try self.columnNames() });
    }

    /// "month, region, revenue"
    pub fn columnNames(self: Table) tool.Error![]const u8 {
        var out = std.Io.Writer.Allocating.init(tool.arena());
        for (self.columns, 0..) |column, index| {
            if (index > 0) try out.writer.writeAll(", ");
            try out.writer.writeAll(column.name);
        }
        return out.written();
    }

    /// "month (date), region (text), revenue (integer)"
    pub fn columnSummary(self: Table) tool.Error![]const u8 {
        var out = std.Io.Writer.Allocating.init(tool.arena());
        for (self.columns, 0..) |column, index| {
            if (index > 0) try out.writer.writeAll(", ");
            try out.writer.print("{s} ({s})", .{ column.name, @tagName(column.type) });
        }
        return out.written();
    }

    /// "; 2 bad rows: line 7 has 3 fields, the header has 4", or nothing.
    pub fn problemSummary(self: Table) tool.Error![]const u8 {
        if (self.bad_rows == 0) return "";
        var out = std.Io.Writer.Allocating.init(tool.arena());
        const noun = if (self.bad_rows == 1) "row" else "rows";
        try out.writer.print("; {d} bad {s}: ", .{ self.bad_rows, noun });
        for (self.problems, 0..) |problem, index| {
            if (index > 0) try out.writer.writeAll("; ");
            try out.writer.print("line {d} {s}", .{ problem.line, problem.message });
        }
        if (self.bad_rows > self.problems.len) try out.writer.writeAll("; …");
        return out.written();
    }

    /// A number in this table: with a semicolon between fields, a comma may be the decimal point.
    pub fn parseNumber(self: Table, text: []const u8) ?f64 {
        return cell.parseNumber(text, if (self.delimiter == ';') .comma_or_point else .point);
    }
};

pub const Column = struct { name: []const u8, type: cell.Type };
pub const Row = struct { line: usize, fields: []const []const u8 };
pub const Problem = struct { line: usize, message: []const u8 };

const max_columns = 500;
const max_problems = 20;

pub fn parse(text: []const u8) tool.Error!Table {
    const content = if (std.mem.startsWith(u8, text, "\u{FEFF}")) text[3..] else text;
    if (std.mem.trim(u8, content, " \t\r\n").len == 0) return tool.refuse("the CSV is empty", .{});
    var reader = Reader{ .text = content, .delimiter = detectDelimiter(content) };
    var rows: std.ArrayList(Row) = .empty;
    var problems: std.ArrayList(Problem) = .empty;
    var bad_rows: usize = 0;
    var names: ?[]const []const u8 = null;

    while (try reader.next()) |record| {
        const expected = if (names) |header| header.len else record.fields.len;
        if (names == null and record.problem == null) {
            names = record.fields;
        } else if (names == null) {
            return tool.refuse("the header (line {d}) {s}", .{ record.line, record.problem.? });
        } else if (record.problem != null or record.fields.len != expected) {
            bad_rows += 1;
            if (problems.items.len == max_problems) continue;
            const message = record.problem orelse try std.fmt.allocPrint(tool.arena(), "has {d} {s}, the header has {d}", .{
                record.fields.len, if (record.fields.len == 1) "field" else "fields", expected,
            });
            try problems.append(tool.arena(), .{ .line = record.line, .message = message });
        } else {
            try rows.append(tool.arena(), .{ .line = record.line, .fields = record.fields });
        }
    }
    const header = names orelse return tool.refuse("the CSV is empty", .{});
    if (header.len > max_columns) return tool.refuse("{d} columns are too many: at most {d}", .{ header.len, max_columns });
    const table = Table{
        .delimiter = reader.delimiter,
        .columns = try tool.arena().alloc(Column, header.len),
        .rows = rows.items,
        .bad_rows = bad_rows,
        .problems = problems.items,
    };
    for (table.columns, 0..) |*column, index| {
        column.* = .{ .name = try uniqueName(header, index), .type = .empty };
        column.type = inferType(table, index);
    }
    return table;
}

/// Writes one record, with quotes where RFC 4180 wants them.
pub fn writeRecord(writer: *std.Io.Writer, fields: []const []const u8, delimiter: u8) std.Io.Writer.Error!void {
    for (fields, 0..) |field, index| {
        if (index > 0) try writer.writeByte(delimiter);
        const plain = std.mem.indexOfAny(u8, field, &.{ delimiter, '"', '\n', '\r' }) == null;
        if (plain and !(fields.len == 1 and field.len == 0)) {
            try writer.writeAll(field);
            continue;
        }
        try writer.writeByte('"');
        for (field) |byte| {
            if (byte == '"') try writer.writeByte('"');
            try writer.writeByte(byte);
        }
        try writer.writeByte('"');
    }
    try writer.writeByte('\n');
}

const Record = struct {
    line: usize,
    fields: []const []const u8,
    problem: ?[]const u8,
};

/// Splits a text into records; a quoted field may contain delimiters and line breaks.
const Reader = struct {
    text: []const u8,
    delimiter: u8,
    at: usize = 0,
    line: usize = 1,

    /// The next record that is not a blank line.
    fn next(self: *Reader) tool.Error!?Record {
        while (self.at < self.text.len) {
            const start = self.line;
            var fields: std.ArrayList([]const u8) = .empty;
            var problem: ?[]const u8 = null;
            while (true) {
                const field = if (self.peek() == '"') try self.quoted(&problem) else self.unquoted();
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

/// The one of `, ; tab |` that the first line has most of, outside quotes.
fn detectDelimiter(text: []const u8) u8 {
    const candidates = ",;\t|";
    var counts = [_]usize{0} ** candidates.len;
    var in_quotes = false;
    for (text) |byte| {
        if (byte == '"') in_quotes = !in_quotes;
        if (in_quotes) continue;
        if (byte == '\n') break;
        if (std.mem.indexOfScalar(u8, candidates, byte)) |index| counts[index] += 1;
    }
    return candidates[std.mem.indexOfMax(usize, &counts)];
}

/// A column's name: "column 2" for an empty one, "revenue (2)" for a second "revenue".
fn uniqueName(header: []const []const u8, index: usize) tool.Error![]const u8 {
    const name = std.mem.trim(u8, header[index], " \t");
    if (name.len == 0) return std.fmt.allocPrint(tool.arena(), "column {d}", .{index + 1});
    var same: usize = 1;
    for (header[0..index]) |earlier| {
        if (std.mem.eql(u8, std.mem.trim(u8, earlier, " \t"), name)) same += 1;
    }
    return if (same == 1) name else std.fmt.allocPrint(tool.arena(), "{s} ({d})", .{ name, same });
}

/// The narrowest type that all of a column's values have; missing values do not count.
fn inferType(table: Table, index: usize) cell.Type {
    if (std.ascii.eqlIgnoreCase(table.columns[index].name, "year")) return .date;
    var found: cell.Type = .empty;
    for (table.rows) |row| {
        found = found.join(cell.typeOf(row.fields[index], table.delimiter == ';'));
        if (found == .text) break;
    }
    return found;
}
