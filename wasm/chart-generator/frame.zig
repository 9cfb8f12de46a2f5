//! What surrounds a plot: title, legend, axes, grid and labels; and the place that they leave for it.

const std = @import("std");
const tool = @import("tool");
const Chart = @import("chart.zig");
const Scale = @import("scale.zig");
const Svg = @import("svg.zig");
const text_width = @import("text_width.zig");

const px = Svg.px;

pub const margin = 24;
const label_size = 12;

/// The rectangle that data is drawn in.
pub const Plot = struct {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,

    pub fn width(self: Plot) f64 {
        return self.right - self.left;
    }

    pub fn height(self: Plot) f64 {
        return self.bottom - self.top;
    }
};

/// The places of labels along the x axis: `first + index * step`.
pub const Places = struct {
    first: f64,
    step: f64,

    /// `bands` centres each label in a band of its own; `edges` puts the first and the last near the plot's edges.
    pub fn across(plot: Plot, count: usize, kind: enum { bands, edges }) Places {
        const n: f64 = @floatFromInt(count);
        const band = plot.width() / n;
        if (kind == .bands or count == 1) return .{ .first = plot.left + band / 2, .step = band };
        const inset = @min(28, band / 2);
        return .{ .first = plot.left + inset, .step = (plot.width() - 2 * inset) / (n - 1) };
    }

    pub fn at(self: Places, index: usize) f64 {
        return self.first + self.step * @as(f64, @floatFromInt(index));
    }
};

/// Draws the title and returns the y below it.
pub fn title(svg: *Svg, chart: Chart) tool.Error!f64 {
    const size: f64 = if (chart.width < 420) 15 else 18;
    const shown = try text_width.fit(chart.title, size * 1.06, chart.width - 2 * margin); // bold runs wider
    const attributes = try std.fmt.allocPrint(tool.arena(), "font-size=\"{d}\" font-weight=\"600\" fill=\"{s}\"", .{ size, Svg.ink });
    try svg.write(margin, margin + size - 4, attributes, shown);
    return margin + size + 6;
}

/// Draws the names of the series in rows below `top`, and returns the y below them.
pub fn legend(svg: *Svg, chart: Chart, top: f64) tool.Error!f64 {
    const row = 20;
    const limit = chart.width - margin;
    var x: f64 = margin;
    var y = top + 4;
    var drawn = false;
    for (chart.series, 0..) |series, index| {
        if (series.name.len == 0) continue;
        const name = try text_width.fit(series.name, label_size, @min(220, limit - margin - 16));
        const width = 16 + text_width.of(name, label_size);
        if (x > margin and x + width > limit) {
            x = margin;
            y += row;
        }
        try svg.print("<rect x=\"{f}\" y=\"{f}\" width=\"10\" height=\"10\" rx=\"3\" fill=\"{s}\"/>\n", .{ px(x), px(y), Svg.color(index) });
        try svg.write(x + 16, y + 9.5, "", name);
        x += width + 18;
        drawn = true;
    }
    return if (drawn) y + row else top;
}

/// How many steps suit an axis of this length.
pub fn stepsFor(length: f64, each: f64) f64 {
    return std.math.clamp(@round(length / each), 2, 8);
}

/// The left edge of the plot: room for the y axis's tick labels and its name.
pub fn leftEdge(chart: Chart, scale: Scale) tool.Error!f64 {
    var widest: f64 = 0;
    for (0..scale.count + 1) |index| {
        widest = @max(widest, text_width.of(try scale.format.text(scale.tick(index)), label_size));
    }
    return margin + widest + 10 + @as(f64, if (chart.y_label != null) 20 else 0);
}

/// Horizontal grid lines with the numbers of the y axis, and both axes' names.
pub fn yAxis(svg: *Svg, chart: Chart, plot: Plot, scale: Scale) tool.Error!void {
    try svg.print("<g stroke=\"#e5e7eb\" stroke-width=\"1\">\n", .{});
    for (0..scale.count + 1) |index| {
        const y = @round(scale.position(scale.tick(index), plot.bottom, plot.top)) + 0.5;
        try svg.print("<path d=\"M{f} {f}H{f}\"/>\n", .{ px(plot.left), px(y), px(plot.right) });
    }
    try svg.print("</g>\n<g text-anchor=\"end\" fill=\"{s}\">\n", .{Svg.faint_ink});
    for (0..scale.count + 1) |index| {
        const y = scale.position(scale.tick(index), plot.bottom, plot.top);
        try svg.write(plot.left - 10, y + 4, "", try scale.format.text(scale.tick(index)));
    }
    try svg.print("</g>\n", .{});
    if (chart.y_label) |name| {
        const y = (plot.top + plot.bottom) / 2;
        const shown = try text_width.fit(name, label_size, chart.height - 2 * margin);
        const turn = "text-anchor=\"middle\" transform=\"rotate(-90 {f} {f})\"";
        try svg.write(margin + 4, y, try std.fmt.allocPrint(tool.arena(), turn, .{ px(margin + 4), px(y) }), shown);
    }
    if (chart.x_label) |name| {
        const shown = try text_width.fit(name, label_size, plot.width());
        try svg.write((plot.left + plot.right) / 2, chart.height - margin + 6, "text-anchor=\"middle\"", shown);
    }
}

/// The darker line at zero, or at the bottom where zero is out of sight.
pub fn baseline(svg: *Svg, plot: Plot, scale: Scale) tool.Error!void {
    const value = std.math.clamp(0, scale.low, scale.high);
    const y = @round(scale.position(value, plot.bottom, plot.top)) + 0.5;
    try svg.print("<path d=\"M{f} {f}H{f}\" stroke=\"#9ca3af\"/>\n", .{ px(plot.left), px(y), px(plot.right) });
}

/// How the labels of the x axis are shown: all or every nth, level or turned, and how much height they take.
pub const Labels = struct {
    every: usize = 1,
    turned: bool = false,
    limit: f64,
    height: f64 = 18,

    const cosine = 0.766; // of 40 degrees
    const sine = 0.643;

    pub fn plan(labels: []const []const u8, step: f64, chart_height: f64) Labels {
        const widest = text_width.widest(labels, label_size);
        if (widest + 10 <= step) return .{ .limit = step };
        const thin: usize = @intFromFloat(@ceil((widest + 14) / step));
        const sparse = labels.len > 40 and widest <= 90;
        if (sparse) return .{ .every = thin, .limit = widest };
        if (labels.len == 1) return .{ .limit = step };
        const limit = @min(widest, @min(150, chart_height * 0.34));
        const every: usize = @intFromFloat(@max(1, @ceil(17 / step)));
        return .{ .every = every, .turned = true, .limit = limit, .height = limit * sine + 18 };
    }

    /// The room that the first label needs to the left of its place.
    pub fn overhang(self: Labels, labels: []const []const u8) f64 {
        const width = @min(self.limit, text_width.of(labels[0], label_size));
        return if (self.turned) width * cosine + 4 else width / 2;
    }

    pub fn draw(self: Labels, svg: *Svg, labels: []const []const u8, places: Places, bottom: f64) tool.Error!void {
        const anchor = if (self.turned) "end" else "middle";
        try svg.print("<g text-anchor=\"{s}\">\n", .{anchor});
        var index: usize = 0;
        while (index < labels.len) : (index += self.every) {
            const x = places.at(index);
            const shown = try text_width.fit(labels[index], label_size, self.limit);
            if (self.turned) {
                const turn = "transform=\"rotate(-40 {f} {f})\"";
                const y = bottom + 15;
                try svg.write(x + 4, y, try std.fmt.allocPrint(tool.arena(), turn, .{ px(x + 4), px(y) }), shown);
            } else {
                try svg.write(x, bottom + 18, "", shown);
            }
        }
        try svg.print("</g>\n", .{});
    }
};

/// Everything around a chart of labelled series. Returns where the data goes.
pub fn labelled(svg: *Svg, chart: Chart, kind: anytype, scale: Scale) tool.Error!struct { plot: Plot, places: Places } {
    var plot = Plot{
        .left = try leftEdge(chart, scale),
        .top = try legend(svg, chart, try title(svg, chart)) + 14,
        .right = chart.width - margin,
        .bottom = 0,
    };
    var places = Places.across(plot, chart.labels.len, kind);
    const labels = Labels.plan(chart.labels, places.step, chart.height);
    const hidden = labels.overhang(chart.labels) + 4 - places.first;
    if (hidden > 0) {
        plot.left += hidden;
        places = Places.across(plot, chart.labels.len, kind);
    }
    plot.bottom = bottomEdge(chart, plot.top, labels.height);
    try yAxis(svg, chart, plot, scale);
    try labels.draw(svg, chart.labels, places, plot.bottom);
    return .{ .plot = plot, .places = places };
}

/// The bottom edge of the plot, above x labels of this height.
pub fn bottomEdge(chart: Chart, top: f64, labels_height: f64) f64 {
    const name: f64 = if (chart.x_label != null) 22 else 0;
    return @max(top + 20, chart.height - margin + 6 - labels_height - name);
}

/// About how high a plot will be, before its frame is laid out.
pub fn expectedHeight(chart: Chart) f64 {
    return chart.height - 130;
}
