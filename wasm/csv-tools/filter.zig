//! filter: the rows in which a column compares with a value.

const std = @import("std");
const tool = @import("tool");
const csv = tool.csv;
const date = tool.date;

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
    try table.writeHeader(&out.writer);
    var kept: usize = 0;
    const comparison = try Comparison.of(table, column, operator, wanted);
    for (table.rows) |row| {
        if (!comparison.matches(row.fields[column])) continue;
        try csv.writeRecord(&out.writer, row.fields, table.delimiter);
        kept += 1;
    }
    const text = try std.fmt.allocPrint(tool.arena(), "{d} of {d} rows have {s} {s} {s}{s}{s}\n{s}", .{
        kept,                       table.rows.len,
        table.columns[column].name, symbol,
        wanted,                     try comparison.leftOut(),
        try table.problemSummary(), std.mem.trimRight(u8, out.written(), "\n"),
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

const Comparison = struct {
    table: csv.Table,
    column: usize,
    operator: Operator,
    wanted: []const u8,
    kind: union(enum) { text, number: f64, day: u32 },

    /// Compares as numbers where both are numbers, by time where both are dates, else as texts. Codes, such as 01067, are texts.
    fn of(table: csv.Table, column: usize, operator: Operator, wanted: []const u8) tool.Error!Comparison {
        const its = table.columns[column];
        var comparison = Comparison{ .table = table, .column = column, .operator = operator, .wanted = wanted, .kind = .text };
        if (its.type == .date and date.isDate(tool.cell.trim(wanted))) {
            const day = date.dayNumber(tool.cell.trim(wanted), its.dates);
            if (comparison.orders() and (comparison.isUnclear(wanted) or comparison.anyUnclear())) return comparison.unclear();
            if (day) |found| comparison.kind = .{ .day = found };
        } else if (!its.codes) if (table.number(column, wanted)) |number| {
            comparison.kind = .{ .number = number };
        };
        return comparison;
    }

    fn orders(self: Comparison) bool {
        return switch (self.operator) {
            .lt, .le, .gt, .ge => true,
            else => false,
        };
    }

    fn unclear(self: Comparison) tool.Error {
        return tool.refuse("the dates in '{s}' may begin with the day or with the month: nothing in the column shows which", .{
            self.table.columns[self.column].name,
        });
    }

    fn isUnclear(self: Comparison, text: []const u8) bool {
        return self.table.columns[self.column].dates == .unknown and date.orderOf(tool.cell.trim(text)) == .unknown;
    }

    fn anyUnclear(self: Comparison) bool {
        for (self.table.rows) |row| if (self.isUnclear(row.fields[self.column])) return true;
        return false;
    }

    fn matches(self: Comparison, field: []const u8) bool {
        switch (self.operator) {
            .contains => return std.ascii.indexOfIgnoreCase(field, self.wanted) != null,
            .starts_with => return std.ascii.startsWithIgnoreCase(field, self.wanted),
            .ends_with => return std.ascii.endsWithIgnoreCase(field, self.wanted),
            .eq, .ne, .lt, .le, .gt, .ge => {},
        }
        const order = self.compare(field) orelse return self.operator == .ne;
        return switch (self.operator) {
            .eq => order == .eq,
            .ne => order != .eq,
            .lt => order == .lt,
            .le => order != .gt,
            .gt => order == .gt,
            .ge => order != .lt,
            else => unreachable,
        };
    }

    /// Null where a missing or textual value meets a number or a date, which is neither less nor greater.
    fn compare(self: Comparison, field: []const u8) ?std.math.Order {
        if (std.mem.eql(u8, field, self.wanted)) return .eq;
        switch (self.kind) {
            .text => return std.mem.order(u8, field, self.wanted),
            .number => |number| return std.math.order(self.table.number(self.column, field) orelse return null, number),
            .day => |wanted| {
                const value = tool.cell.trim(field);
                const day = date.dayNumber(value, self.table.columns[self.column].dates) orelse return null;
                const order = std.math.order(day, wanted);
                return if (order == .eq) std.mem.order(u8, date.timeOf(value), date.timeOf(tool.cell.trim(self.wanted))) else order;
            },
        }
    }

    /// "; 2 rows left out: 'x' has no number (line 3: 'abc')", or nothing.
    fn leftOut(self: Comparison) tool.Error![]const u8 {
        if (self.kind == .text or self.operator == .ne) return "";
        switch (self.operator) {
            .contains, .starts_with, .ends_with => return "",
            else => {},
        }
        var count: usize = 0;
        var first: ?csv.Row = null;
        for (self.table.rows) |row| {
            if (self.compare(row.fields[self.column]) != null) continue;
            count += 1;
            if (first == null) first = row;
        }
        const row = first orelse return "";
        return std.fmt.allocPrint(tool.arena(), "; {d} {s} left out, without a {s} there (line {d}: '{s}')", .{
            count,    if (count == 1) "row" else "rows", if (self.kind == .number) "number" else "date",
            row.line, row.fields[self.column],
        });
    }
};
