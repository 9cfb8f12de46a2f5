//! summarize: one number for each group of rows, and what stands out.

const std = @import("std");
const tool = @import("tool");
const csv = tool.csv;
const Json = tool.number.Json;

/// More groups than this are no summary.
const max_groups = 5_000;
const max_listed = 500;

pub fn summarize(arguments: tool.Arguments) tool.Error![]const u8 {
    const table = try csv.parse(try arguments.string("csv"));
    if (table.rows.len == 0) return tool.refuse("the CSV has a header but no rows{s}", .{try table.problemSummary()});
    const group_column = if (try arguments.optionalString("group_by")) |name| try table.find(name) else chooseGroup(table);
    const value_column = if (try arguments.optionalString("value_column")) |name|
        try table.find(name)
    else
        try chooseValue(table, group_column);

    const groups = try sums(table, value_column, group_column);
    if (groups.labels.len == 0) {
        return tool.refuse("column '{s}' has no numbers; the columns are {s}", .{
            table.columns[value_column].name, try table.columnSummary(),
        });
    }
    const values = groups.values;
    const best = std.mem.indexOfMax(f64, values);
    const worst = std.mem.indexOfMin(f64, values);
    var total: f64 = 0;
    for (values) |value| total += value;
    if (!std.math.isFinite(total)) return tool.refuse("the numbers are too large to add up", .{});
    const growth = growthPercent(values[0], values[values.len - 1], values.len);

    const json_values = try tool.arena().alloc(Json, values.len);
    for (json_values, values) |*json, value| json.* = .{ .value = value };
    const value_name = table.columns[value_column].name;
    const group_name = if (group_column) |index| table.columns[index].name else "row";
    const text = try describe(value_name, group_name, groups, total, best, worst, growth);
    const notes = [_][]const u8{ text, try leftOut(table, value_column), try warnings(table, value_column), try table.problemSummary() };
    return tool.result(try std.mem.concat(tool.arena(), u8, &(notes ++ [_][]const u8{try list(groups)})), .{
        .value_column = value_name,
        .group_by = group_name,
        .labels = groups.labels,
        .values = json_values,
        .total = Json{ .value = total },
        .mean = Json{ .value = total / @as(f64, @floatFromInt(values.len)) },
        .min = Json{ .value = values[worst] },
        .max = Json{ .value = values[best] },
        .best = .{ .label = groups.labels[best], .value = Json{ .value = values[best] } },
        .worst = .{ .label = groups.labels[worst], .value = Json{ .value = values[worst] } },
        .growth_pct = growth,
        .rows = groups.rows,
        .skipped = table.rows.len - groups.rows,
        .bad_rows = table.bad_rows,
    });
}

/// The first column of dates, or else the first of text.
fn chooseGroup(table: csv.Table) ?usize {
    for (table.columns, 0..) |column, index| if (column.type == .date) return index;
    for (table.columns, 0..) |column, index| if (column.type == .text) return index;
    return null;
}

/// The first column of numbers that is not the group and not called an id.
fn chooseValue(table: csv.Table, group: ?usize) tool.Error!usize {
    var fallback: ?usize = null;
    for (table.columns, 0..) |column, index| {
        if (!column.type.isNumeric() or index == group) continue;
        if (!isIdentifier(column.name)) return index;
        fallback = fallback orelse index;
    }
    if (fallback == null) for (table.columns, 0..) |column, index| {
        if (column.mostly_numbers and column.type == .text and index != group) fallback = fallback orelse index;
    };
    return fallback orelse tool.refuse("there is no column of numbers to summarize; the columns are {s}", .{try table.columnSummary()});
}

/// What columns of numbers are called that nobody adds up.
const codes = [_][]const u8{
    "zip",   "zipcode",     "zip code", "zip_code",     "postcode", "postal code", "postal_code", "plz",   "postleitzahl", "code postal", "cap",
    "nr",    "nr.",         "no",       "no.",          "number",   "nummer",      "#",           "index", "line",         "phone",       "telefon",
    "konto", "kontonummer", "account",  "kundennummer", "kunde",    "sku",         "ean",         "isbn",  "month",        "day",         "monat",
    "tag",   "hour",        "week",     "quarter",      "woche",    "quartal",     "lat",         "lon",   "latitude",     "longitude",   "version",
};

fn isIdentifier(name: []const u8) bool {
    if (std.ascii.eqlIgnoreCase(name, "id")) return true;
    for ([_][]const u8{ "_id", " id", "-id", "Id" }) |ending| if (std.mem.endsWith(u8, name, ending)) return true;
    for (codes) |code| if (std.ascii.eqlIgnoreCase(name, code)) return true;
    return false;
}

const Groups = struct {
    labels: []const []const u8,
    values: []const f64,
    /// How many rows had a number.
    rows: usize,
};

/// The sum of each group, in order of appearance. Rows without a number are left out.
fn sums(table: csv.Table, value_column: usize, group_column: ?usize) tool.Error!Groups {
    var groups: std.StringArrayHashMapUnmanaged(f64) = .empty;
    var used: usize = 0;
    for (table.rows) |row| {
        const value = table.number(value_column, row.fields[value_column]) orelse continue;
        const label = if (group_column) |index|
            row.fields[index]
        else
            try std.fmt.allocPrint(tool.arena(), "row {d}", .{used + 1});
        const entry = try groups.getOrPutValue(tool.arena(), label, 0);
        entry.value_ptr.* += value;
        used += 1;
        if (groups.count() > max_groups) return tool.refuse("more than {d} groups: choose another column with 'group_by'", .{max_groups});
    }
    return .{ .labels = groups.keys(), .values = groups.values(), .rows = used };
}

/// "; 2 rows left out: 1 has no value, 1 is no number (line 4: 'forty')", or nothing.
fn leftOut(table: csv.Table, column: usize) tool.Error![]const u8 {
    var empty: usize = 0;
    var others: usize = 0;
    var out = std.Io.Writer.Allocating.init(tool.arena());
    for (table.rows) |row| {
        const field = row.fields[column];
        if (table.number(column, field) != null) continue;
        if (tool.cell.isMissing(field)) {
            empty += 1;
            continue;
        }
        others += 1;
        if (others <= 3) try out.writer.print("{s}line {d}: '{s}'", .{ if (others > 1) ", " else "", row.line, field });
    }
    if (empty + others == 0) return "";
    if (others > 3) try out.writer.writeAll(", …");
    const noun = if (empty + others == 1) "row" else "rows";
    if (others == 0) return std.fmt.allocPrint(tool.arena(), "; {d} {s} left out, without a value", .{ empty, noun });
    if (empty == 0) return std.fmt.allocPrint(tool.arena(), "; {d} {s} left out, without a number ({s})", .{ others, noun, out.written() });
    return std.fmt.allocPrint(tool.arena(), "; {d} {s} left out, {d} without a value and {d} without a number ({s})", .{
        empty + others, noun, empty, others, out.written(),
    });
}

/// What makes a total doubtful: units that differ, rows that are totals themselves, signs that contradict one another.
fn warnings(table: csv.Table, column: usize) tool.Error![]const u8 {
    var out = std.Io.Writer.Allocating.init(tool.arena());
    const first_unit, const other_unit = unitsOf(table, column);
    if (other_unit.len > 0) {
        try out.writer.print("; values in {s} and in {s} were added up as if they were the same", .{ first_unit, other_unit });
    }
    if (totalRow(table)) |row| {
        try out.writer.print("; line {d} looks like a total and was added up too", .{row.line});
    }
    if (table.columns[column].decimal == null) {
        try out.writer.print("; '{s}' mixes decimal points and decimal commas", .{table.columns[column].name});
    }
    return out.written();
}

fn unitsOf(table: csv.Table, column: usize) struct { []const u8, []const u8 } {
    var first: []const u8 = "";
    var any_bare = false; // a currency may stand at the first amount alone, a percent sign may not
    for (table.rows) |row| {
        const reading = tool.notation.read(tool.cell.trim(row.fields[column])) orelse continue;
        if (reading.unit.len == 0) any_bare = true;
        if (any_bare and std.mem.eql(u8, if (reading.unit.len == 0) first else reading.unit, "%")) return .{ "%", "no unit" };
        if (reading.unit.len == 0 or std.mem.eql(u8, symbolOf(reading.unit), symbolOf(first))) continue;
        if (first.len > 0) return .{ first, reading.unit };
        first = reading.unit;
    }
    return .{ first, "" };
}

/// "$" for "USD", too: one unit may be written in two ways.
fn symbolOf(unit: []const u8) []const u8 {
    const same = [_][2][]const u8{ .{ "USD", "$" }, .{ "US$", "$" }, .{ "EUR", "€" }, .{ "GBP", "£" }, .{ "JPY", "¥" }, .{ "INR", "₹" }, .{ "Rs.", "₹" }, .{ "Rs", "₹" } };
    for (same) |pair| if (std.mem.eql(u8, pair[0], unit)) return pair[1];
    return unit;
}

fn totalRow(table: csv.Table) ?csv.Row {
    const words = [_][]const u8{
        "total",  "grand total", "subtotal", "sum",    "summe",  "gesamt", "gesamtsumme", "insgesamt",  "zwischensumme",
        "totale", "somme",       "suma",     "totaal", "celkem", "razem",  "yhteensä",   "итого", "合計",
        "总计", "总额",
    };
    for (table.rows) |row| for (row.fields) |field| {
        const value = std.mem.trimRight(u8, tool.cell.trim(field), ":");
        for (words) |word| if (std.ascii.eqlIgnoreCase(value, word)) return row;
    };
    return null;
}

/// The groups with their sums, a line each, for whoever reads the text alone.
fn list(groups: Groups) tool.Error![]const u8 {
    var out = std.Io.Writer.Allocating.init(tool.arena());
    for (groups.labels[0..@min(groups.labels.len, max_listed)], groups.values[0..@min(groups.labels.len, max_listed)]) |label, value| {
        try out.writer.print("\n{s}: ", .{label});
        try tool.number.write(&out.writer, value, 6);
    }
    if (groups.labels.len > max_listed) try out.writer.print("\n… and {d} more", .{groups.labels.len - max_listed});
    return out.written();
}

/// From the first group to the last, in percent; null where that means nothing.
fn growthPercent(first: f64, last: f64, count: usize) ?Json {
    const percent = (last - first) / @abs(first) * 100;
    if (count < 2 or !std.math.isFinite(percent)) return null; // the first is zero, or next to it
    return .{ .value = percent, .decimals = 2 };
}

/// "revenue by month: total 1,234 in 12 groups, best 2025-12 (150), worst 2025-02 (80), growth 45.2%"
fn describe(value: []const u8, group: []const u8, groups: Groups, total: f64, best: usize, worst: usize, growth: ?Json) tool.Error![]const u8 {
    var out = std.Io.Writer.Allocating.init(tool.arena());
    const writer = &out.writer;
    try writer.print("{s} by {s}: total ", .{ value, group });
    try tool.number.write(writer, total, 6);
    try writer.print(" in {d} {s}", .{ groups.labels.len, if (groups.labels.len == 1) "group" else "groups" });
    for ([_]usize{ best, worst }, [_][]const u8{ "best", "worst" }) |index, word| {
        try writer.print(", {s} {s} (", .{ word, groups.labels[index] });
        try tool.number.write(writer, groups.values[index], 6);
        try writer.writeByte(')');
    }
    if (growth) |percent| {
        try writer.writeAll(", growth ");
        try tool.number.write(writer, percent.value, 1);
        try writer.writeByte('%');
    }
    return out.written();
}
