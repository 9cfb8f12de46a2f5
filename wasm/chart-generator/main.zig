//! chart-generator: SVG charts from numbers.

const std = @import("std");
const tool = @import("tool");
const Chart = @import("chart.zig");
const bar = @import("bar.zig");
const line = @import("line.zig");
const pie = @import("pie.zig");
const scatter = @import("scatter.zig");
const Svg = @import("svg.zig");

pub const panic = tool.panic;
pub const describe_json = @embedFile("tools.json");

comptime {
    tool.serve(@This());
}

pub fn call(name: []const u8, arguments: tool.Arguments) tool.Error![]const u8 {
    const kind = std.meta.stringToEnum(Chart.Kind, name) orelse return tool.refuse("there is no tool '{s}'", .{name});
    const chart = try Chart.parse(kind, arguments);
    var svg = Svg.init();
    try svg.open(chart);
    switch (kind) {
        .line_chart => try line.draw(&svg, chart),
        .bar_chart => try bar.draw(&svg, chart),
        .pie_chart => try pie.draw(&svg, chart),
        .scatter_chart => try scatter.draw(&svg, chart),
    }
    const picture = try svg.close();
    return tool.toJson(.{
        .content = .{
            .{ .type = "text", .text = try caption(chart) },
            .{ .type = "resource", .resource = .{
                .uri = try Chart.fileUri(chart.filename),
                .mimeType = "image/svg+xml",
                .text = picture,
            } },
        },
        .structuredContent = .{
            .filename = chart.filename,
            .points = chart.pointCount(),
            .series = chart.series.len,
        },
    });
}

/// "line chart 'Sales by month': 12 points, 1 series"
fn caption(chart: Chart) tool.Error![]const u8 {
    const points = chart.pointCount();
    const noun = if (points == 1) "point" else "points";
    return std.fmt.allocPrint(tool.arena(), "{s} '{s}': {d} {s}, {d} series", .{
        chart.kind.label(), chart.title, points, noun, chart.series.len,
    });
}
