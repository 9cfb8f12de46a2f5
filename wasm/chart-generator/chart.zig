//! What is to be drawn: the arguments of a call, checked.

const std = @import("std");
const tool = @import("tool");

const Chart = @This();

pub const max_points = 5_000;
pub const max_series = 20;
pub const max_slices = 20;
/// Far beyond it, neighbouring numbers are whole units apart and an axis means nothing.
const max_value = 1e15;
const max_slug = 60;

pub const Kind = enum {
    line_chart,
    bar_chart,
    pie_chart,
    scatter_chart,

    pub fn label(self: Kind) []const u8 {
        return switch (self) {
            .line_chart => "line chart",
            .bar_chart => "bar chart",
            .pie_chart => "pie chart",
            .scatter_chart => "scatter chart",
        };
    }
};

pub const Series = struct {
    name: []const u8,
    values: []const f64,
    /// The x of each value, in a scatter chart.
    xs: []const f64 = &.{},
};

kind: Kind,
title: []const u8,
labels: []const []const u8,
series: []const Series,
x_label: ?[]const u8,
y_label: ?[]const u8,
width: f64,
height: f64,
filename: []const u8,

pub fn parse(kind: Kind, arguments: tool.Arguments) tool.Error!Chart {
    const title = std.mem.trim(u8, try arguments.string("title"), " \t\r\n");
    if (title.len == 0) return tool.refuse("'title' is empty", .{});
    const labels = if (kind == .scatter_chart) &.{} else try arguments.strings("labels");
    const chart = Chart{
        .kind = kind,
        .title = title,
        .labels = labels,
        .series = try parseSeries(kind, arguments, labels),
        .x_label = try arguments.optionalString("x_label"),
        .y_label = try arguments.optionalString("y_label"),
        .width = @floatFromInt(try arguments.integer("width", 800, 200, 4000)),
        .height = @floatFromInt(try arguments.integer("height", 450, 150, 4000)),
        .filename = try filenameOf(try arguments.optionalString("filename"), title),
    };
    if (chart.pointCount() > max_points) {
        return tool.refuse("{d} points are too many: a chart takes at most {d}", .{ chart.pointCount(), max_points });
    }
    if (kind == .pie_chart) try checkPie(chart);
    return chart;
}

/// The number of values in all series together.
pub fn pointCount(self: Chart) usize {
    var count: usize = 0;
    for (self.series) |series| count += series.values.len;
    return count;
}

/// A file's URI, with everything but plain characters percent-encoded.
pub fn fileUri(filename: []const u8) tool.Error![]const u8 {
    var out = std.Io.Writer.Allocating.init(tool.arena());
    try out.writer.writeAll("file:///");
    for (filename) |byte| {
        if (std.ascii.isAlphanumeric(byte) or std.mem.indexOfScalar(u8, "-._~", byte) != null) {
            try out.writer.writeByte(byte);
        } else {
            try out.writer.print("%{X:0>2}", .{byte});
        }
    }
    return out.written();
}

fn parseSeries(kind: Kind, arguments: tool.Arguments, labels: []const []const u8) tool.Error![]const Series {
    const items = try arguments.array("series");
    if (items.len == 0) return tool.refuse("'series' is empty: a chart needs at least one series", .{});
    if (items.len > max_series) return tool.refuse("{d} series are too many: a chart takes at most {d}", .{ items.len, max_series });
    if (kind != .scatter_chart and labels.len == 0) return tool.refuse("'labels' is empty: a chart needs at least one point", .{});

    const all = try tool.arena().alloc(Series, items.len);
    for (items, all, 0..) |item, *series, index| {
        const name = try std.fmt.allocPrint(tool.arena(), "series[{d}]", .{index});
        const fields = try tool.Arguments.nested(item, name);
        series.* = if (kind == .scatter_chart) try parsePoints(fields) else try parseValues(fields, labels.len);
        for (series.values) |value| try checkRange(series.name, value);
        for (series.xs) |value| try checkRange(series.name, value);
    }
    return all;
}

fn parseValues(fields: tool.Arguments, label_count: usize) tool.Error!Series {
    const series = Series{ .name = try fields.string("name"), .values = try fields.numbers("values") };
    if (series.values.len != label_count) {
        return tool.refuse("the values of series '{s}' do not match the labels: {d} values, {d} labels; give one value per label", .{
            series.name, series.values.len, label_count,
        });
    }
    return series;
}

fn parsePoints(fields: tool.Arguments) tool.Error!Series {
    const name = try fields.string("name");
    const points = try fields.array("points");
    if (points.len == 0) return tool.refuse("series '{s}' has no points", .{name});
    const xs = try tool.arena().alloc(f64, points.len);
    const values = try tool.arena().alloc(f64, points.len);
    for (points, xs, values, 0..) |point, *x, *y, index| {
        if (point != .array or point.array.items.len != 2) return notAPoint(name, index);
        x.* = tool.Arguments.numberOf(point.array.items[0]) orelse return notAPoint(name, index);
        y.* = tool.Arguments.numberOf(point.array.items[1]) orelse return notAPoint(name, index);
    }
    return .{ .name = name, .values = values, .xs = xs };
}

fn notAPoint(series: []const u8, index: usize) tool.Error {
    return tool.refuse("point {d} of series '{s}' is not a pair of numbers [x, y]", .{ index + 1, series });
}

fn checkRange(series: []const u8, value: f64) tool.Error!void {
    if (!(@abs(value) <= max_value)) {
        return tool.refuse("series '{s}' has a value beyond ±1,000,000,000,000,000", .{series});
    }
}

fn checkPie(chart: Chart) tool.Error!void {
    if (chart.series.len != 1) {
        return tool.refuse("a pie chart takes one series, not {d}; use bar_chart to compare series", .{chart.series.len});
    }
    if (chart.labels.len > max_slices) {
        return tool.refuse("{d} slices are too many: a pie chart takes at most {d}; use bar_chart", .{ chart.labels.len, max_slices });
    }
    var total: f64 = 0;
    for (chart.series[0].values, chart.labels) |value, label| {
        if (value < 0) return tool.refuse("'{s}' is negative: a pie chart shows parts of a whole; use bar_chart", .{label});
        total += value;
    }
    if (total == 0) return tool.refuse("all values are zero: a pie chart has nothing to divide", .{});
}

fn filenameOf(given: ?[]const u8, title: []const u8) tool.Error![]const u8 {
    const name = given orelse return std.fmt.allocPrint(tool.arena(), "{s}.svg", .{try slug(title)});
    for (name) |byte| {
        if (byte < 0x20 or std.mem.indexOfScalar(u8, "/\\:*?\"<>|", byte) != null) {
            return tool.refuse("'filename' is a plain name without folders or special characters, like sales.svg", .{});
        }
    }
    if (name.len == 0 or name[0] == '.') return tool.refuse("'filename' is empty or starts with a dot", .{});
    if (std.ascii.endsWithIgnoreCase(name, ".svg")) return name;
    return std.fmt.allocPrint(tool.arena(), "{s}.svg", .{name});
}

/// "Sales by month" → "sales-by-month"; accents of Western European letters are dropped, other letters become a dash.
fn slug(title: []const u8) tool.Error![]const u8 {
    const latin1 = "aaaaaaaceeeeiiiidnooooo-ouuuuyts"; // U+00C0–U+00DF, and U+00E0–U+00FF but for the last
    var out = std.Io.Writer.Allocating.init(tool.arena());
    var view = (std.unicode.Utf8View.init(title) catch unreachable).iterator(); // the component model has checked it
    var gap = false;
    while (view.nextCodepoint()) |point| {
        const letter: u8 = switch (point) {
            'A'...'Z' => @intCast(point + 32),
            'a'...'z', '0'...'9' => @intCast(point),
            0xC0...0xDF, 0xE0...0xFE => latin1[(point - 0xC0) % 32],
            else => '-',
        };
        if (letter == '-') {
            gap = true;
        } else {
            if (gap and out.written().len > 0) try out.writer.writeByte('-');
            gap = false;
            try out.writer.writeByte(letter);
        }
    }
    const whole = out.written();
    if (whole.len == 0) return "chart";
    if (whole.len <= max_slug) return whole;
    return whole[0 .. std.mem.lastIndexOfScalar(u8, whole[0..max_slug], '-') orelse max_slug];
}
