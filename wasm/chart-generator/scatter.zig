const tool = @import("tool");
const Chart = @import("chart.zig");
const Scale = @import("scale.zig");
const Svg = @import("svg.zig");
const frame = @import("frame.zig");

const px = Svg.px;

pub fn draw(svg: *Svg, chart: Chart) tool.Error!void {
    var across = Scale.Extent{};
    var up = Scale.Extent{};
    for (chart.series) |series| {
        across.include(series.xs);
        up.include(series.values);
    }
    const x_scale = Scale.around(across, frame.stepsFor(chart.width - 100, 90), .where_near);
    const y_scale = Scale.around(up, frame.stepsFor(frame.expectedHeight(chart), 52), .where_near);
    const top = try frame.legend(svg, chart, try frame.title(svg, chart)) + 14;
    const plot = frame.Plot{
        .left = try frame.leftEdge(chart, y_scale),
        .top = top,
        .right = chart.width - frame.margin - 8,
        .bottom = frame.bottomEdge(chart, top, 18),
    };
    try frame.yAxis(svg, chart, plot, y_scale);
    try xAxis(svg, plot, x_scale);
    try frame.baseline(svg, plot, y_scale);

    const radius: f64 = if (chart.pointCount() <= 200) 4.5 else if (chart.pointCount() <= 1000) 3 else 2;
    for (chart.series, 0..) |series, index| {
        const color = Svg.color(index);
        try svg.print("<g fill=\"{s}\" fill-opacity=\"0.65\" stroke=\"{s}\">\n", .{ color, color });
        for (series.xs, series.values) |x, y| {
            try svg.print("<circle cx=\"{f}\" cy=\"{f}\" r=\"{f}\"/>\n", .{
                px(x_scale.position(x, plot.left, plot.right)), px(y_scale.position(y, plot.bottom, plot.top)), px(radius),
            });
        }
        try svg.print("</g>\n", .{});
    }
}

fn xAxis(svg: *Svg, plot: frame.Plot, scale: Scale) tool.Error!void {
    try svg.print("<g stroke=\"#f3f4f6\">\n", .{});
    for (0..scale.count + 1) |index| {
        const x = @round(scale.position(scale.tick(index), plot.left, plot.right)) + 0.5;
        try svg.print("<path d=\"M{f} {f}V{f}\"/>\n", .{ px(x), px(plot.top), px(plot.bottom) });
    }
    try svg.print("</g>\n<g text-anchor=\"middle\" fill=\"{s}\">\n", .{Svg.faint_ink});
    for (0..scale.count + 1) |index| {
        const x = scale.position(scale.tick(index), plot.left, plot.right);
        try svg.write(x, plot.bottom + 18, "", try scale.format.text(scale.tick(index)));
    }
    try svg.print("</g>\n", .{});
}
