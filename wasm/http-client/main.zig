//! http-client: HTTP requests, through the host and within the manifest's grants.

const std = @import("std");
const tool = @import("tool");

pub const panic = tool.panic;
pub const describe_json = @embedFile("tools.json");

comptime {
    tool.serve(@This());
}

const Tool = enum { get, post, get_csv, get_json };

/// How much of a failed answer's body the error text shows.
const max_excerpt = 500;

pub fn call(name: []const u8, arguments: tool.Arguments) tool.Error![]const u8 {
    const wanted = std.meta.stringToEnum(Tool, name) orelse return tool.refuse("there is no tool '{s}'", .{name});
    const request = if (wanted == .post) try postRequest(arguments) else try getRequest(arguments, wanted);
    const response = try send(request);
    if (response.status >= 400) return failed(request, response);
    return switch (wanted) {
        .get, .post => plainResult(response),
        .get_csv => csvResult(response),
        .get_json => jsonResult(response),
    };
}

const Request = struct {
    method: []const u8,
    url: []const u8,
    headers: std.json.ArrayHashMap([]const u8),
    body: []const u8,
};

const Response = struct {
    status: u16,
    headers: std.json.ArrayHashMap([]const u8) = .{},
    body: []const u8 = "",

    fn contentType(self: Response) []const u8 {
        var headers = self.headers.map.iterator();
        while (headers.next()) |header| {
            if (std.ascii.eqlIgnoreCase(header.key_ptr.*, "content-type")) return header.value_ptr.*;
        }
        return "";
    }
};

fn getRequest(arguments: tool.Arguments, wanted: Tool) tool.Error!Request {
    const accept = switch (wanted) {
        .get_json => "application/json",
        .get_csv => "text/csv, text/plain;q=0.9, */*;q=0.5",
        .get, .post => "*/*",
    };
    var headers = try headersOf(arguments);
    try addHeader(&headers, "accept", accept);
    return .{ .method = "GET", .url = try urlOf(arguments), .headers = headers, .body = "" };
}

/// A body that is an object or an array is sent as JSON.
fn postRequest(arguments: tool.Arguments) tool.Error!Request {
    const given = arguments.get("body") orelse return arguments.missing("body");
    const body = if (given == .string) given.string else try tool.toJson(given);
    const is_json = given != .string or try std.json.validate(tool.arena(), body);
    var headers = try headersOf(arguments);
    try addHeader(&headers, "content-type", if (is_json) "application/json" else "text/plain; charset=utf-8");
    return .{ .method = "POST", .url = try urlOf(arguments), .headers = headers, .body = body };
}

fn urlOf(arguments: tool.Arguments) tool.Error![]const u8 {
    const url = try arguments.string("url");
    const known = std.ascii.startsWithIgnoreCase(url, "https://") or std.ascii.startsWithIgnoreCase(url, "http://");
    return if (known) url else tool.refuse("'url' starts with neither https:// nor http://: '{s}'", .{url});
}

fn headersOf(arguments: tool.Arguments) tool.Error!std.json.ArrayHashMap([]const u8) {
    var headers: std.json.ArrayHashMap([]const u8) = .{};
    const given = arguments.get("headers") orelse return headers;
    if (given != .object) return tool.refuse("'headers' is not an object", .{});
    var entries = given.object.iterator();
    while (entries.next()) |entry| {
        const name = entry.key_ptr.*;
        if (entry.value_ptr.* != .string) return tool.refuse("the header '{s}' is not a string", .{name});
        const value = entry.value_ptr.string;
        if (std.mem.indexOfAny(u8, name, "\r\n: ") != null or std.mem.indexOfAny(u8, value, "\r\n\x00") != null) {
            return tool.refuse("the header '{s}' has a character that no header may have", .{name});
        }
        try headers.map.put(tool.arena(), name, value);
    }
    return headers;
}

/// Adds a header that the caller has not given.
fn addHeader(headers: *std.json.ArrayHashMap([]const u8), name: []const u8, value: []const u8) tool.Error!void {
    for (headers.map.keys()) |given| if (std.ascii.eqlIgnoreCase(given, name)) return;
    try headers.map.put(tool.arena(), name, value);
}

fn send(request: Request) tool.Error!Response {
    const answer = try tool.host.fetch(try tool.toJson(request));
    return std.json.parseFromSliceLeaky(Response, tool.arena(), answer, .{ .ignore_unknown_fields = true }) catch |problem| switch (problem) {
        error.OutOfMemory => error.OutOfMemory,
        else => tool.refuse("the host's answer is not the JSON of a response", .{}),
    };
}

fn plainResult(response: Response) tool.Error![]const u8 {
    return tool.result(response.body, .{
        .status = response.status,
        .content_type = response.contentType(),
        .headers = response.headers,
        .body = response.body,
    });
}

fn csvResult(response: Response) tool.Error![]const u8 {
    const table = try tool.csv.parse(response.body);
    return tool.result(response.body, .{
        .status = response.status,
        .csv = response.body,
        .columns = table.columns,
        .rows = table.rows.len,
        .bad_rows = table.bad_rows,
    });
}

fn jsonResult(response: Response) tool.Error![]const u8 {
    if (!try std.json.validate(tool.arena(), response.body)) {
        return tool.refuse("the answer ({d}, {s}) is not JSON: {s}", .{
            response.status, response.contentType(), excerpt(response.body),
        });
    }
    return tool.result(response.body, .{ .status = response.status, .data = RawJson{ .text = response.body } });
}

/// JSON that is passed on as it came, its numbers included.
const RawJson = struct {
    text: []const u8,

    pub fn jsonStringify(self: RawJson, json: anytype) !void {
        try json.beginWriteRaw();
        try json.writer.writeAll(self.text);
        json.endWriteRaw();
    }
};

/// A result that says what went wrong, for a status of 400 or more.
fn failed(request: Request, response: Response) tool.Error![]const u8 {
    const text = try std.fmt.allocPrint(tool.arena(), "{s} {s} was answered with status {d}: {s}", .{
        request.method, request.url, response.status, excerpt(response.body),
    });
    return tool.toJson(.{
        .content = .{.{ .type = "text", .text = text }},
        .structuredContent = .{
            .status = response.status,
            .content_type = response.contentType(),
            .headers = response.headers,
            .body = response.body,
        },
        .isError = true,
    });
}

/// The start of a text, cut between characters.
fn excerpt(body: []const u8) []const u8 {
    if (body.len <= max_excerpt) return body;
    var end: usize = max_excerpt;
    while (end > 0 and body[end] & 0xC0 == 0x80) end -= 1;
    return body[0..end];
}
