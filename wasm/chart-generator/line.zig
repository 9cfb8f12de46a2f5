const tool = @import("tool");
const Chart = @import("chart.zig");
const Scale = @import("scale.zig");
const Svg = @import("svg.zig");
const frame = @import("frame.zig");

const px = Svg.px;

pub fn draw(svg: *Svg, chart: Chart) tool.Error!void {
    var extent = Scale.Extent{};
    for (chart.series) |series| extent.include(series.values);
    const scale = Scale.around(extent, frame.stepsFor(frame.expectedHeight(chart), 52), .where_near);
    const area = try frame.labelled(svg, chart, .edges, scale);
    try frame.baseline(svg, area.plot, scale);

    const zero_in_sight = scale.low <= 0 and scale.high >= 0;
    if (zero_in_sight and chart.series.len == 1 and chart.labels.len > 1) try shade(svg, chart.series[0], area.places, area.plot, scale);
    for (chart.series, 0..) |series, index| {
        const curve = Curve{ .series = series, .places = area.places, .plot = area.plot, .scale = scale };
        if (series.values.len > 1) {
            const style = "fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\"";
            try svg.print("<path d=\"", .{});
            try curve.path(svg);
            try svg.print("\" {s} stroke=\"{s}\" stroke-width=\"{s}\"/>\n", .{ style, Svg.color(index), curve.thickness() });
        }
        if (series.values.len == 1 or area.places.step >= 16) try markers(svg, chart, curve, Svg.color(index));
    }
}

const Curve = struct {
    series: Chart.Series,
    places: frame.Places,
    plot: frame.Plot,
    scale: Scale,

    fn y(self: Curve, index: usize) f64 {
        return self.scale.position(self.series.values[index], self.plot.bottom, self.plot.top);
    }

    fn path(self: Curve, svg: *Svg) tool.Error!void {
        for (0..self.series.values.len) |index| {
            const command: u8 = if (index == 0) 'M' else 'L';
            try svg.print("{c}{f} {f}", .{ command, px(self.places.at(index)), px(self.y(index)) });
        }
    }

    fn thickness(self: Curve) []const u8 {
        return if (self.places.step >= 3) "2.5" else "1.5";
    }
};

/// A tint between the line and zero.
fn shade(svg: *Svg, series: Chart.Series, places: frame.Places, plot: frame.Plot, scale: Scale) tool.Error!void {
    const curve = Curve{ .series = series, .places = places, .plot = plot, .scale = scale };
    const floor = scale.position(0, plot.bottom, plot.top);
    try svg.print("<path d=\"", .{});
    try curve.path(svg);
    try svg.print("L{f} {f}L{f} {f}Z\" fill=\"{s}\" fill-opacity=\"0.1\"/>\n", .{
        px(places.at(series.values.len - 1)), px(floor), px(places.first), px(floor), Svg.color(0),
    });
}

fn markers(svg: *Svg, chart: Chart, curve: Curve, color: []const u8) tool.Error!void {
    try svg.print("<g fill=\"#ffffff\" stroke=\"{s}\" stroke-width=\"2\">\n", .{color});
    for (chart.labels, curve.series.values, 0..) |label, value, index| {
        try svg.print("<circle cx=\"{f}\" cy=\"{f}\" r=\"3.5\"><title>{f}: {s}</title></circle>\n", .{
            px(curve.places.at(index)), px(curve.y(index)), Svg.escaped(label), try Scale.valueText(value),
        });
    }
    try svg.print("</g>\n", .{});
}
