const std = @import("std");
const tool = @import("tool");
const Chart = @import("chart.zig");
const Scale = @import("scale.zig");
const Svg = @import("svg.zig");
const frame = @import("frame.zig");
const text_width = @import("text_width.zig");

const px = Svg.px;

/// More bars than this are drawn without a tooltip each, to keep the file small.
const max_tooltips = 400;

pub fn draw(svg: *Svg, chart: Chart) tool.Error!void {
    var extent = Scale.Extent{};
    for (chart.series) |series| extent.include(series.values);
    const scale = Scale.around(extent, frame.stepsFor(frame.expectedHeight(chart), 52), .include);
    const area = try frame.labelled(svg, chart, .bands, scale);
    const bars = Bars{
        .chart = chart,
        .scale = scale,
        .plot = area.plot,
        .places = area.places,
        .width = @min(72, area.places.step * 0.74 / @as(f64, @floatFromInt(chart.series.len))),
    };
    for (0..chart.series.len) |index| try bars.drawSeries(svg, index);
    try frame.baseline(svg, area.plot, scale);
    if (try bars.valuesFit()) try bars.drawValues(svg);
}

const Bars = struct {
    chart: Chart,
    scale: Scale,
    plot: frame.Plot,
    places: frame.Places,
    width: f64,

    fn left(self: Bars, series: usize, index: usize) f64 {
        const count: f64 = @floatFromInt(self.chart.series.len);
        return self.places.at(index) + (@as(f64, @floatFromInt(series)) - count / 2) * self.width;
    }

    fn y(self: Bars, value: f64) f64 {
        return self.scale.position(value, self.plot.bottom, self.plot.top);
    }

    fn drawSeries(self: Bars, svg: *Svg, series: usize) tool.Error!void {
        const tooltips = self.chart.pointCount() <= max_tooltips;
        try svg.print("<g fill=\"{s}\">\n", .{Svg.color(series)});
        if (!tooltips) try svg.print("<path d=\"", .{});
        for (self.chart.series[series].values, self.chart.labels, 0..) |value, label, index| {
            if (tooltips) try svg.print("<path d=\"", .{});
            try self.outline(svg, self.left(series, index), value);
            if (tooltips) try svg.print("\"><title>{f}: {s}</title></path>\n", .{ Svg.escaped(label), try Scale.valueText(value) });
        }
        if (!tooltips) try svg.print("\"/>\n", .{});
        try svg.print("</g>\n", .{});
    }

    /// A bar from zero to `value`, its far corners rounded.
    fn outline(self: Bars, svg: *Svg, start: f64, value: f64) tool.Error!void {
        const gap = @min(2, self.width * 0.1);
        const x = start + gap / 2;
        const right = start + self.width - gap / 2;
        const zero = self.y(0);
        const end = self.y(value);
        if (self.width < 6) return svg.print("M{f} {f}V{f}H{f}V{f}Z", .{ px(x), px(zero), px(end), px(right), px(zero) });
        const radius = @min(3, @abs(zero - end));
        const inner = end + (if (value < 0) -radius else radius);
        try svg.print("M{f} {f}V{f}Q{f} {f} {f} {f}H{f}Q{f} {f} {f} {f}V{f}Z", .{
            px(x),          px(zero),  px(inner),          px(x),     px(end),
            px(x + radius), px(end),   px(right - radius), px(right), px(end),
            px(right),      px(inner), px(zero),
        });
    }

    /// Whether there is room to write each value at the end of its bar.
    fn valuesFit(self: Bars) tool.Error!bool {
        if (self.chart.pointCount() > 30) return false;
        const room = if (self.chart.series.len == 1) self.places.step - 4 else self.width;
        for (self.chart.series) |series| {
            for (series.values) |value| {
                if (text_width.of(try Scale.valueText(value), 11) > room) return false;
            }
        }
        return true;
    }

    fn drawValues(self: Bars, svg: *Svg) tool.Error!void {
        try svg.print("<g text-anchor=\"middle\" font-size=\"11\">\n", .{});
        for (self.chart.series, 0..) |series, number| {
            for (series.values, 0..) |value, index| {
                const middle = self.left(number, index) + self.width / 2;
                const shift: f64 = if (value < 0) 13 else -5;
                try svg.write(middle, self.y(value) + shift, "", try Scale.valueText(value));
            }
        }
        try svg.print("</g>\n", .{});
    }
};
