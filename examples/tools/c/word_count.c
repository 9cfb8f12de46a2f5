// An MCP tool server in C: counts words.
#include "caxton_tool.h"

static Text describe_tools(void) {
    static const char json[] = {
#embed "tools.json"
    };
    return (Text){json, sizeof json};
}

static bool is_space(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

static Text decimal(size_t number) {
    char *out = allocate(20), *start = out + 20;
    do *--start = '0' + number % 10; while (number /= 10);
    return (Text){start, out + 20 - start};
}

static Result word_count(Text arguments) {
    Text text;
    if (!json_field(arguments, TEXT("text"), &text)) return failed(TEXT("'text' is missing or not a string"));
    size_t words = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_space(text.ptr[i]) && (i == 0 || is_space(text.ptr[i - 1]))) words++;
    }
    Text count = decimal(words);
    Text json = join(TEXT("{\"content\":[{\"type\":\"text\",\"text\":\""), count);
    json = join(json, TEXT(" words\"}],\"structuredContent\":{\"words\":"));
    return ok(join(json, join(count, TEXT("}}"))));
}

static Result call_tool(Text name, Text arguments) {
    if (equal(name, TEXT("word_count"))) return word_count(arguments);
    return failed(join(TEXT("there is no tool "), name));
}
