//! filter: the rows in which a column compares with a value.

const std = @import("std");
const tool = @import("tool");
const csv = tool.csv;

const Operator = enum { eq, ne, lt, le, gt, ge, contains, starts_with, ends_with };

const operators = std.StaticStringMap(Operator).initComptime(.{
    .{ "=", .eq },              .{ "!=", .ne },                   .{ "<", .lt },
    .{ "<=", .le },             .{ ">", .gt },                    .{ ">=", .ge },
    .{ "contains", .contains }, .{ "starts_with", .starts_with }, .{ "ends_with", .ends_with },
});

pub fn filter(arguments: tool.Arguments) tool.Error![]const u8 {
    const table = try csv.parse(try arguments.string("csv"));
    const column = try table.find(try arguments.string("column"));
    const symbol = try arguments.string("op");
    const operator = operators.get(symbol) orelse
        return tool.refuse("'op' is one of = != < <= > >= contains starts_with ends_with, not '{s}'", .{symbol});
    const wanted = try valueText(arguments);

    var out = std.Io.Writer.Allocating.init(tool.arena());
    const names = try tool.arena().alloc([]const u8, table.columns.len);
    for (names, table.columns) |*name, its| name.* = its.name;
    try csv.writeRecord(&out.writer, names, table.delimiter);
    var kept: usize = 0;
    for (table.rows) |row| {
        if (!matches(table, row.fields[column], operator, wanted)) continue;
        try csv.writeRecord(&out.writer, row.fields, table.delimiter);
        kept += 1;
    }
    const text = try std.fmt.allocPrint(tool.arena(), "{d} of {d} rows have {s} {s} {s}{s}", .{
        kept, table.rows.len, table.columns[column].name, symbol, wanted, try table.problemSummary(),
    });
    return tool.result(text, .{
        .csv = out.written(),
        .columns = table.columns,
        .rows = kept,
        .of_rows = table.rows.len,
        .bad_rows = table.bad_rows,
    });
}

fn valueText(arguments: tool.Arguments) tool.Error![]const u8 {
    const value = arguments.get("value") orelse return arguments.missing("value");
    if (value == .string) return value.string;
    const number = tool.Arguments.numberOf(value) orelse return tool.refuse("'value' is neither a string nor a number", .{});
    var out = std.Io.Writer.Allocating.init(tool.arena());
    try tool.number.write(&out.writer, number, 12);
    return out.written();
}

/// Compares as numbers where both are numbers, else as texts: so ISO dates compare by time.
fn matches(table: csv.Table, field: []const u8, operator: Operator, wanted: []const u8) bool {
    switch (operator) {
        .contains => return std.ascii.indexOfIgnoreCase(field, wanted) != null,
        .starts_with => return std.ascii.startsWithIgnoreCase(field, wanted),
        .ends_with => return std.ascii.endsWithIgnoreCase(field, wanted),
        .eq, .ne, .lt, .le, .gt, .ge => {},
    }
    const order = compare(table, field, wanted) orelse return operator == .ne;
    return switch (operator) {
        .eq => order == .eq,
        .ne => order != .eq,
        .lt => order == .lt,
        .le => order != .gt,
        .gt => order == .gt,
        .ge => order != .lt,
        else => unreachable,
    };
}

/// Null where a missing or textual value meets a number, which is neither less nor greater.
fn compare(table: csv.Table, field: []const u8, wanted: []const u8) ?std.math.Order {
    const number = table.parseNumber(wanted) orelse return std.mem.order(u8, field, wanted);
    return std.math.order(table.parseNumber(field) orelse return null, number);
}
