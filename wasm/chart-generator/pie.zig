const std = @import("std");
const tool = @import("tool");
const Chart = @import("chart.zig");
const Scale = @import("scale.zig");
const Svg = @import("svg.zig");
const frame = @import("frame.zig");
const text_width = @import("text_width.zig");

const px = Svg.px;

pub fn draw(svg: *Svg, chart: Chart) tool.Error!void {
    const top = try frame.title(svg, chart) + 8;
    const bottom = chart.height - frame.margin;
    const roomy = chart.width >= 500;
    const radius = @max(20, @min((bottom - top) / 2, chart.width * @as(f64, if (roomy) 0.27 else 0.2)));
    const circle = Circle{
        .x = @max(frame.margin + radius, if (roomy) chart.width * 0.32 else 0),
        .y = (top + bottom) / 2,
        .radius = radius,
    };
    var total: f64 = 0;
    for (chart.series[0].values) |value| total += value;
    try slices(svg, chart, circle, total);
    try legend(svg, chart, circle, total);
}

const Circle = struct {
    x: f64,
    y: f64,
    radius: f64,

    /// The point at `turn` (0 to 1, clockwise from the top) and a fraction of the radius.
    fn at(self: Circle, turn: f64, reach: f64) [2]f64 {
        const angle = turn * 2 * std.math.pi;
        return .{ self.x + @sin(angle) * self.radius * reach, self.y - @cos(angle) * self.radius * reach };
    }
};

fn slices(svg: *Svg, chart: Chart, circle: Circle, total: f64) tool.Error!void {
    try svg.print("<g stroke=\"#ffffff\" stroke-width=\"2\" stroke-linejoin=\"round\">\n", .{});
    var start: f64 = 0;
    for (chart.series[0].values, chart.labels, 0..) |value, label, index| {
        const part = value / total;
        if (part == 0) continue;
        try svg.print("<path fill=\"{s}\" d=\"", .{Svg.color(index)});
        try outline(svg, circle, start, part);
        try svg.print("\"><title>{f}: {s} ({f})</title></path>\n", .{ Svg.escaped(label), try Scale.valueText(value), Svg.escaped(try percent(part)) });
        start += part;
    }
    try svg.print("</g>\n<g text-anchor=\"middle\" font-weight=\"600\">\n", .{});
    start = 0;
    for (chart.series[0].values, 0..) |value, index| {
        const part = value / total;
        const reach: f64 = if (part > 0.999) 0 else 0.68;
        const middle = circle.at(start + part / 2, reach);
        start += part;
        if (part < 0.055 or circle.radius < 60) continue;
        const fill = try std.fmt.allocPrint(tool.arena(), "fill=\"{s}\"", .{Svg.colorOver(index)});
        try svg.write(middle[0], middle[1] + 4, fill, try percent(part));
    }
    try svg.print("</g>\n", .{});
}

fn outline(svg: *Svg, circle: Circle, start: f64, part: f64) tool.Error!void {
    const r = px(circle.radius);
    if (part > 0.999) { // an arc cannot close on itself: two halves
        const up = circle.at(0, 1);
        const down = circle.at(0.5, 1);
        return svg.print("M{f} {f}A{f} {f} 0 1 1 {f} {f}A{f} {f} 0 1 1 {f} {f}Z", .{
            px(up[0]), px(up[1]), r, r, px(down[0]), px(down[1]), r, r, px(up[0]), px(up[1]),
        });
    }
    const from = circle.at(start, 1);
    const to = circle.at(start + part, 1);
    const large: u8 = if (part > 0.5) '1' else '0';
    try svg.print("M{f} {f}L{f} {f}A{f} {f} 0 {c} 1 {f} {f}Z", .{
        px(circle.x), px(circle.y), px(from[0]), px(from[1]), r, r, large, px(to[0]), px(to[1]),
    });
}

/// A column to the right of the circle: colour, label, value and share.
fn legend(svg: *Svg, chart: Chart, circle: Circle, total: f64) tool.Error!void {
    const count: f64 = @floatFromInt(chart.labels.len);
    const x = circle.x + circle.radius + @as(f64, if (chart.width >= 500) 36 else 16);
    const row = @min(26, (chart.height - 70) / count);
    const size: f64 = std.math.clamp(row - 3, 6, 12);
    const share = text_width.of("100.0%", size) + 10;
    var widest: f64 = 0;
    for (chart.series[0].values) |value| widest = @max(widest, text_width.of(try Scale.valueText(value), size));
    const room = chart.width - frame.margin - x - share;
    const with_values = room - widest > 110;
    const taken = share + (if (with_values) widest + 24 else 0);
    const right = @min(chart.width - frame.margin, x + 18 + text_width.widest(chart.labels, size) + taken + 6);

    const first = circle.y - row * (count - 1) / 2;
    try svg.print("<g font-size=\"{f}\">\n", .{px(size)});
    for (chart.labels, chart.series[0].values, 0..) |label, value, index| {
        const y = first + row * @as(f64, @floatFromInt(index));
        const half = size * 0.42;
        try svg.print("<rect x=\"{f}\" y=\"{f}\" width=\"{f}\" height=\"{f}\" rx=\"3\" fill=\"{s}\"/>\n", .{
            px(x), px(y - half), px(2 * half), px(2 * half), Svg.color(index),
        });
        const baseline = y + size * 0.35;
        try svg.write(x + 18, baseline, "", try text_width.fit(label, size, right - x - 18 - taken));
        if (with_values) try svg.write(right - share, baseline, "text-anchor=\"end\" fill=\"" ++ Svg.faint_ink ++ "\"", try Scale.valueText(value));
        try svg.write(right, baseline, "text-anchor=\"end\" font-weight=\"600\" fill=\"" ++ Svg.ink ++ "\"", try percent(value / total));
    }
    try svg.print("</g>\n", .{});
}

fn percent(part: f64) tool.Error![]const u8 {
    var out = std.Io.Writer.Allocating.init(tool.arena());
    if (part > 0 and part < 0.001) {
        try out.writer.writeAll("<0.1%");
    } else {
        try tool.number.write(&out.writer, part * 100, 1);
        try out.writer.writeByte('%');
    }
    return out.written();
}
