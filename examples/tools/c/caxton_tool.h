// The world `caxton:tool/tool` (caxton/bundled/wit/tool.wit) for C, without a C library.
//
// A server includes this header once and defines `describe_tools` and `call_tool`. Memory comes from one arena that is
// emptied after each call: allocate with `allocate`, free nothing.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { const char *ptr; size_t len; } Text;
typedef struct { uint8_t failed; Text text; } Result;

#define TEXT(literal) ((Text){(literal), sizeof(literal) - 1})

// What a server defines: the JSON of tools/list; and one call, which ends in ok(JSON of a result) or failed(why).
static Text describe_tools(void);
static Result call_tool(Text name, Text arguments);

static inline Result ok(Text json) { return (Result){false, json}; }
static inline Result failed(Text why) { return (Result){true, why}; }

// ---- What the host offers ----

#define HOST(name) __attribute__((import_module("caxton:tool/host@0.1.0"), import_name(name)))
HOST("fetch") void host_fetch_(const char *request, size_t len, Result *reply);
HOST("read-file") void host_read_file_(const char *path, size_t len, Result *reply);
HOST("environment") void host_environment_(const char *name, size_t len, Result *reply);
HOST("log") void host_log_(const char *level, size_t level_len, const char *message, size_t message_len);

static inline Result host_fetch(Text request) { Result r; host_fetch_(request.ptr, request.len, &r); return r; }
static inline Result host_read_file(Text path) { Result r; host_read_file_(path.ptr, path.len, &r); return r; }
static inline Result host_environment(Text name) { Result r; host_environment_(name.ptr, name.len, &r); return r; }
static inline void host_log(Text level, Text message) { host_log_(level.ptr, level.len, message.ptr, message.len); }

// ---- Memory ----

extern char __heap_base;
static char *arena_end = &__heap_base;

// Memory until the end of the call; a trap if there is none left.
static void *allocate(size_t size) {
    char *start = (char *)(((uintptr_t)arena_end + 7) & ~(uintptr_t)7);
    size_t room = __builtin_wasm_memory_size(0) * 65536 - (size_t)start;
    if (size > room && __builtin_wasm_memory_grow(0, (size - room) / 65536 + 1) == (size_t)-1) __builtin_trap();
    arena_end = start + size;
    return start;
}

static inline void copy(char *to, const char *from, size_t len) { __builtin_memcpy(to, from, len); }

static inline bool equal(Text a, Text b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) if (a.ptr[i] != b.ptr[i]) return false;
    return true;
}

static inline Text join(Text a, Text b) {
    char *both = allocate(a.len + b.len);
    copy(both, a.ptr, a.len);
    copy(both + a.len, b.ptr, b.len);
    return (Text){both, a.len + b.len};
}

// ---- JSON ----

// A text as a JSON string, with its quotes.
static Text json_quoted(Text text) {
    static const char hex[] = "0123456789abcdef";
    char *out = allocate(text.len * 6 + 2), *end = out;
    *end++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = text.ptr[i];
        if (byte < 0x20) {
            copy(end, "\\u00", 4);
            end[4] = hex[byte >> 4];
            end[5] = hex[byte & 15];
            end += 6;
            continue;
        }
        if (byte == '"' || byte == '\\') *end++ = '\\';
        *end++ = byte;
    }
    *end++ = '"';
    return (Text){out, end - out};
}

// The result of a call that is one text.
static inline Result text_result(Text text) {
    return ok(join(join(TEXT("{\"content\":[{\"type\":\"text\",\"text\":"), json_quoted(text)), TEXT("}]}")));
}

static uint32_t json_hex(const char *digits) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char digit = digits[i];
        value = value * 16 + (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return value;
}

static char *write_utf8(char *out, uint32_t point) {
    if (point < 0x80) {
        *out++ = point;
    } else if (point < 0x800) {
        *out++ = 0xC0 | point >> 6;
        *out++ = 0x80 | (point & 63);
    } else if (point < 0x10000) {
        *out++ = 0xE0 | point >> 12;
        *out++ = 0x80 | (point >> 6 & 63);
        *out++ = 0x80 | (point & 63);
    } else {
        *out++ = 0xF0 | point >> 18;
        *out++ = 0x80 | (point >> 12 & 63);
        *out++ = 0x80 | (point >> 6 & 63);
        *out++ = 0x80 | (point & 63);
    }
    return out;
}

// What a JSON string means; `text` is what stands between its quotes.
static Text json_unquoted(Text text) {
    char *out = allocate(text.len), *end = out;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (byte != '\\') {
            *end++ = byte;
            continue;
        }
        byte = text.ptr[++i];
        if (byte != 'u') {
            *end++ = byte == 'n' ? '\n' : byte == 't' ? '\t' : byte == 'r' ? '\r' : byte == 'b' ? '\b' : byte == 'f' ? '\f' : byte;
            continue;
        }
        uint32_t point = json_hex(text.ptr + i + 1);
        i += 4;
        if (point >= 0xD800 && point < 0xDC00 && i + 6 < text.len && text.ptr[i + 1] == '\\') {
            point = 0x10000 + ((point - 0xD800) << 10) + (json_hex(text.ptr + i + 3) - 0xDC00);
            i += 6;
        }
        end = write_utf8(end, point >= 0xD800 && point < 0xE000 ? 0xFFFD : point);
    }
    return (Text){out, end - out};
}

// Finds a string field at the top of a JSON object that the host has checked.
static inline bool json_field(Text object, Text key, Text *value) {
    int depth = 0;
    bool is_value = false, found = false;
    for (size_t i = 0; i < object.len; i++) {
        char byte = object.ptr[i];
        if (byte == '{' || byte == '[') depth++;
        if (byte == '}' || byte == ']') depth--;
        if (byte == ':') is_value = true;
        if (byte == ',') is_value = false;
        if (byte != '"') continue;
        size_t start = ++i;
        while (i < object.len && object.ptr[i] != '"') i += object.ptr[i] == '\\' ? 2 : 1;
        Text string = {object.ptr + start, i - start};
        if (depth == 1 && is_value && found) {
            *value = json_unquoted(string);
            return true;
        }
        if (depth == 1) found = !is_value && equal(string, key);
    }
    return false;
}

// ---- The exports ----

__attribute__((export_name("describe"))) Text *tool_describe(void) {
    static Text tools;
    tools = describe_tools();
    return &tools;
}

__attribute__((export_name("call"))) Result *tool_call(const char *name, size_t name_len, const char *json, size_t json_len) {
    static Result result;
    result = call_tool((Text){name, name_len}, (Text){json, json_len});
    return &result;
}

__attribute__((export_name("cabi_post_call"))) void tool_after_call(Result *result) {
    (void)result;
    arena_end = &__heap_base;
}

__attribute__((export_name("cabi_realloc"))) void *tool_reallocate(void *old, size_t old_size, size_t align, size_t size) {
    (void)old, (void)old_size, (void)align; // the host only ever asks for new memory
    return allocate(size);
}
