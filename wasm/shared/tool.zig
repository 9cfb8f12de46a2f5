//! The world `caxton:tool/tool` for Zig: the exports that Caxton calls, and the host's functions as Zig functions.
//!
//! A tool server is a file with `describe_json`, a `call` function, and two lines:
//!
//!     pub const panic = tool.panic;
//!     comptime { tool.serve(@This()); }
//!
//! Memory comes from one arena that is emptied after each call, so nothing needs to be freed.

const std = @import("std");

pub const Allocator = std.mem.Allocator;
pub const Arguments = @import("arguments.zig");
pub const number = @import("number.zig");
pub const csv = @import("csv.zig");
pub const cell = @import("cell.zig");
pub const date = @import("date.zig");
pub const notation = @import("notation.zig");

/// A panic becomes a WebAssembly trap, without the machinery of messages.
pub const panic = std.debug.no_panic;

/// `Refused` carries its text in `refusal`; see `refuse`.
pub const Error = error{ Refused, OutOfMemory, WriteFailed };

var arena_state = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
var refusal: []const u8 = "";

/// Memory that lives until the current call has been answered.
pub fn arena() Allocator {
    return arena_state.allocator();
}

/// Ends the call with an error text: `return tool.refuse("no column '{s}'", .{name});`
pub fn refuse(comptime format: []const u8, values: anytype) Error {
    refusal = try std.fmt.allocPrint(arena(), format, values);
    return error.Refused;
}

/// The JSON text of a value: a struct, a tuple (an array), a slice, a `std.json.Value`.
pub fn toJson(value: anytype) Error![]const u8 {
    return std.json.Stringify.valueAlloc(arena(), value, .{});
}

/// The MCP result of a call: a line of text and structured content.
pub fn result(text: []const u8, structured: anytype) Error![]const u8 {
    return toJson(.{ .content = .{.{ .type = "text", .text = text }}, .structuredContent = structured });
}

/// Exports `describe` and `call` of `Server` as the component model wants them.
///
/// `Server.describe_json` is the answer to tools/list; `Server.call(name, arguments)` returns the JSON of a result.
pub fn serve(comptime Server: type) void {
    const Exports = struct {
        fn describe() callconv(.c) *const String {
            described = String.from(Server.describe_json);
            return &described;
        }

        fn call(name: [*]const u8, name_len: usize, text: [*]const u8, text_len: usize) callconv(.c) *const StringResult {
            answer = run(name[0..name_len], text[0..text_len]);
            return &answer;
        }

        fn run(name: []const u8, text: []const u8) StringResult {
            const arguments = Arguments.parse(text) catch |problem| return failure(problem);
            const json = Server.call(name, arguments) catch |problem| return failure(problem);
            return .{ .tag = .ok, .payload = String.from(json) };
        }
    };
    @export(&Exports.describe, .{ .name = "describe" });
    @export(&Exports.call, .{ .name = "call" });
    @export(&afterCall, .{ .name = "cabi_post_call" });
    @export(&reallocate, .{ .name = "cabi_realloc" });
}

pub const host = struct {
    /// Sends a request (its JSON) and returns the answer's JSON, or refuses with the host's reason.
    pub fn fetch(request: []const u8) Error![]const u8 {
        return received(imports.fetch, request);
    }

    /// The text of a granted file, or refuses with the host's reason.
    pub fn readFile(path: []const u8) Error![]const u8 {
        return received(imports.readFile, path);
    }

    pub const Level = enum { debug, info, warning, @"error" };

    pub fn log(level: Level, message: []const u8) void {
        const name = @tagName(level);
        imports.log(name.ptr, name.len, message.ptr, message.len);
    }
};

// What follows is the canonical ABI: how strings and results lie in memory.

const String = extern struct {
    ptr: [*]const u8,
    len: usize,

    fn from(text: []const u8) String {
        return .{ .ptr = text.ptr, .len = text.len };
    }
};

const StringResult = extern struct {
    tag: enum(u8) { ok, err },
    payload: String,
};

var described: String = undefined;
var answer: StringResult = undefined;

const HostFunction = fn (ptr: [*]const u8, len: usize, reply: *StringResult) callconv(.c) void;

const imports = struct {
    const module = "caxton:tool/host@0.1.0";
    const fetch = @extern(*const HostFunction, .{ .name = "fetch", .library_name = module });
    const readFile = @extern(*const HostFunction, .{ .name = "read-file", .library_name = module });
    const log = @extern(
        *const fn (level: [*]const u8, level_len: usize, text: [*]const u8, text_len: usize) callconv(.c) void,
        .{ .name = "log", .library_name = module },
    );
};

fn received(function: *const HostFunction, argument: []const u8) Error![]const u8 {
    var reply: StringResult = undefined;
    function(argument.ptr, argument.len, &reply);
    const text = reply.payload.ptr[0..reply.payload.len];
    if (reply.tag == .ok) return text;
    refusal = text;
    return error.Refused;
}

fn failure(problem: Error) StringResult {
    const text = switch (problem) {
        error.Refused => refusal,
        error.OutOfMemory, error.WriteFailed => "out of memory: the input is too large for the tool's memory limit",
    };
    return .{ .tag = .err, .payload = String.from(text) };
}

fn afterCall(_: *const StringResult) callconv(.c) void {
    _ = arena_state.reset(.retain_capacity);
}

var nothing: [1]u8 = .{0};

/// The host asks for memory to put a string in. It never grows one that it has.
fn reallocate(_: ?[*]u8, _: usize, _: usize, size: usize) callconv(.c) [*]u8 {
    if (size == 0) return &nothing; // an empty text needs an address inside memory all the same
    const bytes = arena().alloc(u8, size) catch @trap();
    return bytes.ptr;
}
