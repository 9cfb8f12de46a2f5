//! The arguments of a call, read with errors that name the argument.

const std = @import("std");
const tool = @import("tool.zig");

const Arguments = @This();

/// The JSON object that the fields are read from, and how an error names it: "" or "series[0].".
object: std.json.ObjectMap,
prefix: []const u8 = "",

pub fn parse(text: []const u8) tool.Error!Arguments {
    const value = std.json.parseFromSliceLeaky(std.json.Value, tool.arena(), text, .{}) catch |problem| switch (problem) {
        error.OutOfMemory => return error.OutOfMemory,
        else => return tool.refuse("the arguments are not valid JSON (NaN and Infinity are not numbers in JSON)", .{}),
    };
    return fromValue(value, "the arguments are not", "");
}

/// The arguments in `value`, which an error calls `name`: "series[0]".
pub fn nested(value: std.json.Value, name: []const u8) tool.Error!Arguments {
    const subject = try std.fmt.allocPrint(tool.arena(), "'{s}' is not", .{name});
    return fromValue(value, subject, try std.fmt.allocPrint(tool.arena(), "{s}.", .{name}));
}

fn fromValue(value: std.json.Value, subject: []const u8, prefix: []const u8) tool.Error!Arguments {
    return switch (value) {
        .object => |object| .{ .object = object, .prefix = prefix },
        else => tool.refuse("{s} an object", .{subject}),
    };
}

pub fn string(self: Arguments, name: []const u8) tool.Error![]const u8 {
    return try self.optionalString(name) orelse self.missing(name);
}

pub fn optionalString(self: Arguments, name: []const u8) tool.Error!?[]const u8 {
    return switch (self.get(name) orelse return null) {
        .string => |text| text,
        else => tool.refuse("'{s}{s}' is not a string", .{ self.prefix, name }),
    };
}

/// A whole number between `low` and `high`, or `default` where there is none.
pub fn integer(self: Arguments, name: []const u8, default: i64, low: i64, high: i64) tool.Error!i64 {
    const value = self.get(name) orelse return default;
    const given = numberOf(value) orelse return tool.refuse("'{s}{s}' is not a number", .{ self.prefix, name });
    if (given < @as(f64, @floatFromInt(low)) or given > @as(f64, @floatFromInt(high)) or given != @trunc(given)) {
        return tool.refuse("'{s}{s}' is not a whole number from {d} to {d}", .{ self.prefix, name, low, high });
    }
    return @intFromFloat(given);
}

pub fn array(self: Arguments, name: []const u8) tool.Error![]const std.json.Value {
    return switch (self.get(name) orelse return self.missing(name)) {
        .array => |items| items.items,
        else => tool.refuse("'{s}{s}' is not an array", .{ self.prefix, name }),
    };
}

pub fn strings(self: Arguments, name: []const u8) tool.Error![]const []const u8 {
    const items = try self.array(name);
    const texts = try tool.arena().alloc([]const u8, items.len);
    for (items, texts, 0..) |item, *text, index| text.* = switch (item) {
        .string => |given| given,
        else => return tool.refuse("'{s}{s}[{d}]' is not a string", .{ self.prefix, name, index }),
    };
    return texts;
}

pub fn numbers(self: Arguments, name: []const u8) tool.Error![]const f64 {
    const items = try self.array(name);
    const values = try tool.arena().alloc(f64, items.len);
    for (items, values, 0..) |item, *value, index| {
        value.* = numberOf(item) orelse
            return tool.refuse("'{s}{s}[{d}]' is not a number", .{ self.prefix, name, index });
    }
    return values;
}

/// A field that is present and not null.
pub fn get(self: Arguments, name: []const u8) ?std.json.Value {
    const value = self.object.get(name) orelse return null;
    return if (value == .null) null else value;
}

pub fn missing(self: Arguments, name: []const u8) tool.Error {
    return tool.refuse("'{s}{s}' is missing", .{ self.prefix, name });
}

pub fn numberOf(value: std.json.Value) ?f64 {
    return switch (value) {
        .integer => |given| @floatFromInt(given),
        .float => |given| given,
        .number_string => |text| std.fmt.parseFloat(f64, text) catch null,
        else => null,
    };
}
