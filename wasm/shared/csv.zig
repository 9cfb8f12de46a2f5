//! Tables of comma-separated values (RFC 4180): parsed leniently, with rows that do not fit reported by line.

const std = @import("std");
const tool = @import("tool.zig");
const cell = @import("cell.zig");
const columns = @import("columns.zig");
const date = @import("date.zig");
const notation = @import("notation.zig");
const records = @import("records.zig");

pub const Table = struct {
    delimiter: u8,
    columns: []Column,
    rows: []const Row,
    bad_rows: usize,
    problems: []const Problem,
    /// Lines of a title or an account's data above the header.
    lines_before: usize,

    /// The index of a column by its exact name, or by its name in other letter case.
    pub fn find(self: Table, name: []const u8) tool.Error!usize {
        for (self.columns, 0..) |column, index| if (std.mem.eql(u8, column.name, name)) return index;
        for (self.columns, 0..) |column, index| if (std.ascii.eqlIgnoreCase(column.name, name)) return index;
        return tool.refuse("there is no column '{s}'; the columns are {s}", .{ name, try self.columnNames() });
    }

    /// Writes the names of the columns as a record.
    pub fn writeHeader(self: Table, writer: *std.Io.Writer) tool.Error!void {
        const names = try tool.arena().alloc([]const u8, self.columns.len);
        for (names, self.columns) |*name, column| name.* = column.name;
        try writeRecord(writer, names, self.delimiter);
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

    /// "; 2 bad rows: line 7 has 3 fields, the header has 4; the dates …", or nothing: all that a reader has to know besides.
    pub fn problemSummary(self: Table) tool.Error![]const u8 {
        var out = std.Io.Writer.Allocating.init(tool.arena());
        if (self.bad_rows > 0) {
            try out.writer.print("; {d} bad {s}: ", .{ self.bad_rows, if (self.bad_rows == 1) "row" else "rows" });
            for (self.problems, 0..) |problem, index| {
                if (index > 0) try out.writer.writeAll("; ");
                try out.writer.print("line {d} {s}", .{ problem.line, problem.message });
            }
            if (self.bad_rows > self.problems.len) try out.writer.writeAll("; …");
        }
        if (self.lines_before > 0) {
            try out.writer.print("; {d} {s} before the header left out", .{
                self.lines_before, if (self.lines_before == 1) "line" else "lines",
            });
        }
        for (self.columns) |column| if (column.type.isNumeric()) try self.describeNotation(column, &out.writer);
        return out.written();
    }

    /// Says how numbers were read where the table does not show it.
    fn describeNotation(self: Table, column: Column, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        _ = self;
        const example = column.guessed orelse return;
        const decimal = column.decimal orelse return;
        try writer.print("; '{s}' was read with a decimal {s}, though nothing in the table shows which: {s} is ", .{
            column.name, @tagName(decimal), example,
        });
        try tool.number.write(writer, notation.read(example).?.in(decimal).?.number, 6);
    }

    /// The number in a cell of a column, as the whole column has it; null where it is none.
    pub fn number(self: Table, column: usize, text: []const u8) ?f64 {
        const reading = notation.read(cell.trim(text)) orelse return null;
        return (reading.in(self.columns[column].decimal) orelse return null).number;
    }
};

pub const Column = struct {
    name: []const u8,
    type: cell.Type,
    /// Its decimal sign; null where cells contradict each other.
    decimal: ?notation.Decimal = .point,
    /// A cell that fits both signs, where nothing in the table shows which is meant.
    guessed: ?[]const u8 = null,
    /// Whether it has codes, such as 01067: texts, whatever they look like.
    codes: bool = false,
    /// Whether most of its values are numbers, so that it can be added up with a word on the others.
    mostly_numbers: bool = false,
    /// The order of day and month in its dates.
    dates: date.Order = .unknown,

    pub fn jsonStringify(self: Column, json: anytype) !void {
        try json.write(.{ .name = self.name, .type = self.type });
    }
};

pub const Row = struct { line: usize, fields: []const []const u8 };
pub const Problem = struct { line: usize, message: []const u8 };

const max_columns = 500;
const max_problems = 20;

/// Whether there is nothing in a text, not even a header.
pub fn isEmpty(text: []const u8) bool {
    return std.mem.trim(u8, withoutMark(text), " \t\r\n").len == 0;
}

pub fn parse(text: []const u8) tool.Error!Table {
    const content = withoutMark(text);
    if (isEmpty(text)) return tool.refuse("the CSV is empty", .{});
    var reader = try records.open(content);
    var rows: std.ArrayList(Row) = .empty;
    var problems: std.ArrayList(Problem) = .empty;
    var bad_rows: usize = 0;
    var names: ?[]const []const u8 = null;
    const before = reader.header_after;
    var skipped: usize = 0;

    while (try reader.next()) |record| {
        if (skipped < before) {
            skipped += 1;
            continue;
        }
        const header = names orelse {
            if (record.problem) |problem| return tool.refuse("the header (line {d}) {s}", .{ record.line, problem });
            names = record.fields;
            continue;
        };
        const fields = if (record.problem == null) try fitted(record.fields, header) else null;
        if (fields) |fitting| {
            try rows.append(tool.arena(), .{ .line = record.line, .fields = fitting });
            continue;
        }
        bad_rows += 1;
        if (problems.items.len == max_problems) continue;
        const message = record.problem orelse try std.fmt.allocPrint(tool.arena(), "has {d} {s}, the header has {d}", .{
            record.fields.len, if (record.fields.len == 1) "field" else "fields", header.len,
        });
        try problems.append(tool.arena(), .{ .line = record.line, .message = message });
    }
    const header = names orelse return tool.refuse("the CSV is empty", .{});
    if (header.len > max_columns) return tool.refuse("{d} columns are too many: at most {d}", .{ header.len, max_columns });
    const table = Table{
        .delimiter = reader.delimiter,
        .columns = try tool.arena().alloc(Column, header.len),
        .rows = rows.items,
        .bad_rows = bad_rows,
        .problems = problems.items,
        .lines_before = skipped,
    };
    for (table.columns, 0..) |*column, index| column.* = .{ .name = try uniqueName(header, index), .type = .empty };
    try columns.understand(table);
    return table;
}

fn withoutMark(text: []const u8) []const u8 {
    return if (std.mem.startsWith(u8, text, "\u{FEFF}")) text[3..] else text;
}

/// The fields as the header has them: other programs write a delimiter too many, or one too few, where the last cells are empty.
fn fitted(fields: []const []const u8, header: []const []const u8) tool.Error!?[]const []const u8 {
    if (fields.len == header.len) return fields;
    if (fields.len > header.len) {
        for (fields[header.len..]) |field| if (field.len > 0) return null;
        return fields[0..header.len];
    }
    for (header[fields.len..]) |name| if (name.len > 0) return null;
    const padded = try tool.arena().alloc([]const u8, header.len);
    @memset(padded, "");
    @memcpy(padded[0..fields.len], fields);
    return padded;
}

/// A column's name: "column 2" for an empty one, "revenue (2)" for a second "revenue".
fn uniqueName(header: []const []const u8, index: usize) tool.Error![]const u8 {
    const name = cell.trim(header[index]);
    if (name.len == 0) return std.fmt.allocPrint(tool.arena(), "column {d}", .{index + 1});
    var same: usize = 1;
    for (header[0..index]) |earlier| {
        if (std.mem.eql(u8, cell.trim(earlier), name)) same += 1;
    }
    return if (same == 1) name else std.fmt.allocPrint(tool.arena(), "{s} ({d})", .{ name, same });
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
