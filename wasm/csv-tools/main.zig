//! csv-tools: reads, checks, summarizes and filters comma-separated values.

const std = @import("std");
const tool = @import("tool");
const csv = tool.csv;
const filter = @import("filter.zig");
const summary = @import("summary.zig");

pub const panic = tool.panic;
pub const describe_json = @embedFile("tools.json");

comptime {
    tool.serve(@This());
}

const Tool = enum { read_csv, parse, summarize, filter };

pub fn call(name: []const u8, arguments: tool.Arguments) tool.Error![]const u8 {
    return switch (std.meta.stringToEnum(Tool, name) orelse return tool.refuse("there is no tool '{s}'", .{name})) {
        .read_csv => readCsv(arguments),
        .parse => parse(arguments),
        .summarize => summary.summarize(arguments),
        .filter => filter.filter(arguments),
    };
}

fn readCsv(arguments: tool.Arguments) tool.Error![]const u8 {
    const path = try granted(try arguments.string("path"));
    const text = try tool.host.readFile(path);
    if (csv.isEmpty(text)) {
        const empty = try std.fmt.allocPrint(tool.arena(), "the file '{s}' is empty: no columns, no rows", .{path});
        return tool.result(empty, .{ .csv = "", .columns = [_]csv.Column{}, .rows = 0, .bad_rows = 0 });
    }
    const table = try csv.parse(text);
    return tool.result(text, .{ .csv = text, .columns = table.columns, .rows = table.rows.len, .bad_rows = table.bad_rows });
}

/// The path below /data, where the manifest mounts the tool's folder.
fn granted(path: []const u8) tool.Error![]const u8 {
    var parts = std.mem.splitScalar(u8, path, '/');
    while (parts.next()) |part| {
        if (std.mem.eql(u8, part, "..")) return tool.refuse("the path '{s}' leaves /data", .{path});
    }
    if (std.mem.startsWith(u8, path, "/data/")) return path;
    if (path.len == 0 or path[0] == '/') return tool.refuse("the path '{s}' is not below /data", .{path});
    return std.fmt.allocPrint(tool.arena(), "/data/{s}", .{path});
}

fn parse(arguments: tool.Arguments) tool.Error![]const u8 {
    const table = try csv.parse(try arguments.string("csv"));
    const wanted: usize = @intCast(try arguments.integer("first_rows", 5, 0, 100));
    const first = try tool.arena().alloc(RowJson, @min(wanted, table.rows.len));
    for (first, 0..) |*row, index| row.* = .{ .table = table, .index = index };
    const text = try std.fmt.allocPrint(tool.arena(), "{d} {s}, {d} {s}: {s}{s}{s}", .{
        table.rows.len,                  if (table.rows.len == 1) "row" else "rows",
        table.columns.len,               if (table.columns.len == 1) "column" else "columns",
        try table.columnSummary(),       try table.problemSummary(),
        try firstRows(table, first.len),
    });
    return tool.result(text, .{
        .columns = table.columns,
        .rows = table.rows.len,
        .first_rows = first,
        .delimiter = &[1]u8{table.delimiter},
        .bad_rows = table.bad_rows,
        .problems = table.problems,
    });
}

/// The first rows below their header, for whoever reads the text alone.
fn firstRows(table: csv.Table, count: usize) tool.Error![]const u8 {
    if (count == 0) return "";
    var out = std.Io.Writer.Allocating.init(tool.arena());
    try out.writer.writeByte('\n');
    try table.writeHeader(&out.writer);
    for (table.rows[0..count]) |row| try csv.writeRecord(&out.writer, row.fields, table.delimiter);
    return std.mem.trimRight(u8, out.written(), "\n");
}

/// A row as a JSON object: numbers as numbers, missing values as null, everything else as text.
const RowJson = struct {
    table: csv.Table,
    index: usize,

    pub fn jsonStringify(self: RowJson, json: anytype) !void {
        try json.beginObject();
        for (self.table.columns, self.table.rows[self.index].fields, 0..) |column, field, index| {
            try json.objectField(column.name);
            // "NA" and "None" are no value among numbers, and may be a country and a name among texts.
            const missing = if (column.type == .text) field.len == 0 else tool.cell.isMissing(field);
            if (missing) {
                try json.write(null);
            } else if (column.type.isNumeric()) {
                try json.write(tool.number.Json{ .value = self.table.number(index, field).? });
            } else {
                try json.write(field);
            }
        }
        try json.endObject();
    }
};
