//! An axis of numbers: round bounds, round steps, and the labels of its ticks.

const std = @import("std");
const tool = @import("tool");

const Scale = @This();

low: f64,
high: f64,
step: f64,
count: usize,
format: Format,

/// A scale around all `values` with about `target` steps. `zero` asks that it include zero.
pub fn around(extent: Extent, target: f64, zero: enum { include, where_near, leave }) Scale {
    var low = extent.low;
    var high = extent.high;
    const size = @max(@abs(low), @abs(high));
    const flat = high - low <= size * 1e-9;
    const far = high - low < 0.25 * size;
    if (flat or zero == .include or (zero == .where_near and !far)) {
        low = @min(low, 0);
        high = @max(high, 0);
    }
    if (high - low < 1e-100) high = 1; // all values are zero, or can't be told from it
    const step = niceStep((high - low) / target);
    const first = @floor(low / step + 1e-9);
    const last = @ceil(high / step - 1e-9);
    return .{
        .low = first * step,
        .high = last * step,
        .step = step,
        .count = @intFromFloat(last - first),
        .format = Format.of(step, @max(@abs(first), @abs(last)) * step),
    };
}

/// Where `value` lies between `from` (the scale's low end) and `to` (its high end).
pub fn position(self: Scale, value: f64, from: f64, to: f64) f64 {
    return from + (value - self.low) / (self.high - self.low) * (to - from);
}

pub fn tick(self: Scale, index: usize) f64 {
    const steps = @round(self.low / self.step) + @as(f64, @floatFromInt(index));
    return steps * self.step;
}

pub const Extent = struct {
    low: f64 = std.math.inf(f64),
    high: f64 = -std.math.inf(f64),

    pub fn include(self: *Extent, values: []const f64) void {
        for (values) |value| {
            self.low = @min(self.low, value);
            self.high = @max(self.high, value);
        }
    }
};

/// The smallest of 1, 2, 2.5, 5 × 10ⁿ that is not below `rough`.
fn niceStep(rough: f64) f64 {
    const power = std.math.pow(f64, 10, @floor(@log10(rough)));
    for ([_]f64{ 1, 2, 2.5, 5 }) |factor| {
        if (factor * power >= rough * (1 - 1e-9)) return factor * power;
    }
    return 10 * power;
}

/// How the ticks of one axis are written: all with one unit and one number of decimals.
pub const Format = struct {
    divisor: f64 = 1,
    suffix: []const u8 = "",
    decimals: u8 = 0,
    scientific: bool = false,

    fn of(step: f64, largest: f64) Format {
        var format: Format = if (largest >= 1e12)
            .{ .divisor = 1e12, .suffix = "T" }
        else if (largest >= 1e9)
            .{ .divisor = 1e9, .suffix = "B" }
        else if (largest >= 1e6)
            .{ .divisor = 1e6, .suffix = "M" }
        else if (largest >= 1e4)
            .{ .divisor = 1e3, .suffix = "K" }
        else
            .{};
        if (largest < 1e-4) return .{ .scientific = true };
        var unit = step / format.divisor;
        while (format.decimals < 12 and @abs(unit - @round(unit)) > 1e-6 * unit) : (format.decimals += 1) unit *= 10;
        return format;
    }

    pub fn text(self: Format, value: f64) tool.Error![]const u8 {
        var out = std.Io.Writer.Allocating.init(tool.arena());
        if (value == 0) {
            try out.writer.writeByte('0');
        } else if (self.scientific) {
            try out.writer.print("{e:.1}", .{value});
        } else {
            try tool.number.writeGrouped(&out.writer, value / self.divisor, self.decimals);
            try out.writer.writeAll(self.suffix);
        }
        return out.written();
    }
};

/// A single value as a label, with up to two decimals: "1,234.5", "1.25M".
pub fn valueText(value: f64) tool.Error![]const u8 {
    const size = @abs(value);
    if (size > 0 and size < 0.005) return std.fmt.allocPrint(tool.arena(), "{e:.2}", .{value});
    const unit: f64 = if (size >= 1e12) 1e12 else if (size >= 1e9) 1e9 else if (size >= 1e6) 1e6 else 1;
    const hundredths = @round(value / unit * 100);
    var format = Format.of(unit, size);
    if (unit == 1) format = .{};
    format.decimals = if (@mod(hundredths, 100) == 0) 0 else if (@mod(hundredths, 10) == 0) 1 else 2;
    return format.text(value);
}
