//! What the columns of a table hold: a column is of one type, and its numbers are in one notation.

const std = @import("std");
const cell = @import("cell.zig");
const csv = @import("csv.zig");
const date = @import("date.zig");
const notation = @import("notation.zig");
const tool = @import("tool.zig");

/// How many cells show which decimal sign.
const Signs = struct {
    points: usize = 0,
    commas: usize = 0,
    ambiguous: ?[]const u8 = null,
    numbers: usize = 0,
    others: usize = 0,

    fn decimal(self: Signs) ?notation.Decimal {
        if (self.commas == 0 and self.points > 0) return .point;
        if (self.points == 0 and self.commas > 0) return .comma;
        return null;
    }
};

/// Fills in type, notation and order of dates of each column.
pub fn understand(table: csv.Table) tool.Error!void {
    var everywhere = Signs{};
    const all = try tool.arena().alloc(Signs, table.columns.len);
    for (table.columns, all, 0..) |*column, *signs, index| {
        signs.* = look(table, index, column);
        if (signs.numbers > signs.others) {
            everywhere.points += signs.points;
            everywhere.commas += signs.commas;
        }
    }
    // Excel puts semicolons between fields where the comma is the decimal sign.
    const usual: notation.Decimal = if (table.delimiter == ';') .comma else .point;
    for (table.columns, all, 0..) |*column, signs, index| {
        column.decimal = signs.decimal();
        if (column.decimal == null and signs.points == 0) {
            column.decimal = everywhere.decimal() orelse usual;
            if (everywhere.decimal() == null and table.delimiter != ',') column.guessed = signs.ambiguous;
        }
        column.type = typeOf(table, index);
        column.mostly_numbers = !column.codes and signs.numbers > 0 and signs.numbers >= signs.others;
    }
}

fn look(table: csv.Table, index: usize, column: *csv.Column) Signs {
    var signs = Signs{};
    for (table.rows) |row| {
        const value = cell.trim(row.fields[index]);
        if (cell.isMissing(value)) continue;
        if (date.isDate(value)) {
            signs.others += 1;
            if (column.dates == .unknown) column.dates = date.orderOf(value) orelse .unknown;
            continue;
        }
        const reading = notation.read(value) orelse {
            signs.others += 1;
            continue;
        };
        signs.numbers += 1;
        if (reading.code) column.codes = true;
        if (reading.evidence()) |sign| {
            if (sign == .point) signs.points += 1 else signs.commas += 1;
        } else if (reading.isAmbiguous() and signs.ambiguous == null) signs.ambiguous = value;
    }
    return signs;
}

/// The narrowest type that all of a column's values have; missing values do not count.
fn typeOf(table: csv.Table, index: usize) cell.Type {
    const column = table.columns[index];
    var found: cell.Type = .empty;
    for (table.rows) |row| {
        found = found.join(cell.typeOf(row.fields[index], column.decimal));
        if (found == .text) break;
    }
    if (found.isNumeric() and column.codes) return .text;
    if (found == .integer and isYears(table, index)) return .date;
    return found;
}

/// Whether the numbers are years: the column is called so, or it is the first of several and its years follow one another.
fn isYears(table: csv.Table, index: usize) bool {
    const named = for ([_][]const u8{ "year", "jahr", "année", "annee", "año", "ano", "anno", "jaar", "rok", "år", "vuosi", "год", "年" }) |name| {
        if (std.ascii.eqlIgnoreCase(table.columns[index].name, name)) break true;
    } else false;
    if (!named and (index > 0 or table.columns.len < 2 or table.rows.len < 2)) return false;
    var last: ?i32 = null;
    var rising = true;
    var falling = true;
    for (table.rows) |row| {
        const value = cell.trim(row.fields[index]);
        if (cell.isMissing(value)) continue;
        if (value.len != 4) return false;
        const year = std.fmt.parseInt(i32, value, 10) catch return false;
        if (year < 1800 or year > 2200) return false;
        if (last) |before| {
            rising = rising and year == before + 1;
            falling = falling and year == before - 1;
        }
        last = year;
    }
    return named or rising or falling;
}
