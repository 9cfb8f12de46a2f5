"""What is wrong with a file that is not TOML, in words that help.

`tomllib` stops at the first mistake and says little on it. Here its messages are read together with the text around
the mistake, for those that people make most: a missing quote or equals sign, text without quotes, the same key twice.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from caxton.definitions.toml_positions import Span, last_statement, line_starts, locate, marker_width
from caxton.domain.problems import Problem

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOKEN = re.compile(r"[^\s,\]}#]*")
_PAIR = re.compile(r"""\s*(?P<key>[\w."'-]+)\s*=\s*(?P<value>[^#\n]*)""")
_PIECE = re.compile(
    r"#[^\n]*"
    r'|"""(?:[^"\\]++|\\[\s\S]|"(?!""))*"{3,5}'
    r"|'''(?:[^']++|'(?!''))*'{3,5}"
    r'|"(?!"")(?:[^"\\\n]++|\\.)*"|""(?!")'
    r"|'(?!'')[^'\n]*+'|''(?!')"
    r"|[^\"'#\[\]{}]++|[\[\]{}]"
)
_CURLED = "“”„‟«»‘’‚‹›"
_WORDS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_NOTHING = ("null", "none", "nil", "undefined")


@dataclass(frozen=True, slots=True)
class _Mistake:
    """The place at which `tomllib` gave up."""

    text: str
    at: int
    said: str

    @property
    def line(self) -> str:
        """The line of the mistake."""
        start = self.text.rfind("\n", 0, self.at) + 1
        return self.text[start:].partition("\n")[0]

    @property
    def line_span(self) -> Span:
        """The text of the line, without the white space around it."""
        start = self.text.rfind("\n", 0, self.at) + 1
        return Span(start + len(self.line) - len(self.line.lstrip()), start + len(self.line.rstrip()))

    @property
    def token(self) -> str:
        """What stands at the mistake, up to a space or a bracket."""
        match = _TOKEN.match(self.text, self.at)
        return match.group() if match else ""


_Explanation = tuple[Span, str, str | None]
"""Where, the message, the hint."""


def explain_syntax_error(file: str, text: str, error: Exception) -> Problem:
    """The problem that made `tomllib` raise `error` on `text`."""
    if isinstance(error, RecursionError):
        return Problem(file=file, message="arrays or tables are nested too deeply", hint="a few levels are enough")
    mistake = _mistake(text, str(error))
    span, message, hint = _explain(mistake)
    line, column = locate(line_starts(text), span.start)
    return Problem(file=file, line=line, column=column, width=marker_width(text, span), message=message, hint=hint)


def _mistake(text: str, said: str) -> _Mistake:
    place = _PLACE.search(said)
    if place is None:  # int() refuses a number with thousands of digits, and does not say where
        digits = re.search(r"\d{4000,}", text)
        return _Mistake(text, digits.start() if digits else 0, said)
    said = said[: place.start()]
    if place[1] is None:
        return _Mistake(text, len(text.rstrip()), said)
    starts = line_starts(text)
    return _Mistake(text, min(starts[int(place[1]) - 1] + int(place[2]) - 1, len(text)), said)


def _explain(mistake: _Mistake) -> _Explanation:
    for beginning, explanation in _EXPLANATIONS:
        if mistake.said.startswith(beginning):
            found = explanation(mistake)
            if found:
                return found
    said = mistake.said[:1].lower() + mistake.said[1:]
    return Span(mistake.at, mistake.at + max(1, len(mistake.token))), f"this is not valid TOML: {said}", None


def _equals_missing(mistake: _Mistake) -> _Explanation | None:
    line, span = mistake.line, mistake.line_span
    key, _, rest = line.strip().partition(" ")
    if mistake.text.startswith(":", mistake.at):
        name, _, value = line.strip().partition(":")
        here = Span(mistake.at, mistake.at + 1)
        return here, 'a key and its value are joined by "=", not by ":"', f"write: {name.strip()} = {_quoted(value)}"
    if line.strip() == "---":
        return span, "this looks like YAML, not like TOML", "write one line a key: key = value"
    if "=" in rest:
        name = line.partition("=")[0].strip()
        return (
            Span(span.start, span.start + len(name)),
            f'the key "{name}" has a space in it',
            f"write: {name.replace(' ', '_')} ={line.partition('=')[2]}",
        )
    if rest:
        return span, f'"=" is missing after the key "{key}"', f"write: {key} = {_quoted(rest)}"
    return (
        span,
        f'"{key}" is neither a key with a value nor a [table]',
        f'write: {key} = "…", or begin the line with # to comment',
    )


def _invalid_value(mistake: _Mistake) -> _Explanation | None:
    token = mistake.token
    here = Span(mistake.at, mistake.at + len(token))
    if not token:
        if mistake.text.startswith(",", mistake.at):
            return Span(mistake.at, mistake.at + 1), "there is nothing between two commas", "remove one of them"
        return mistake.line_span, "the value is missing", 'write it after the "="; an empty text is ""'
    if token.lower() in _WORDS:
        return (
            here,
            f"{token} is not a TOML value",
            f"write {_WORDS[token.lower()]}, or in quotes if it is meant as text",
        )
    if token.lower() in _NOTHING:
        return here, f"TOML has no {token}", "leave the key out"
    if token[0] in _CURLED:
        return here, f"{token[0]} is not a quote that TOML knows", "use the straight quotes \" or '"
    if re.fullmatch(r"\.\d+", token):
        return here, "a number begins with a digit", f"write 0{token}"
    return _text_without_quotes(mistake, mistake.at)


def _more_than_value(mistake: _Mistake) -> _Explanation | None:
    pair = _PAIR.match(mistake.line)
    if pair is None:
        here = Span(mistake.at, max(mistake.line_span.end, mistake.at + 1))
        return here, "more text follows where the line should end", "begin a comment with #"
    line_start = mistake.text.rfind("\n", 0, mistake.at) + 1
    value = pair["value"].rstrip()
    if value.endswith(",") and mistake.at == line_start + pair.start("value") + len(value) - 1:
        return (
            Span(mistake.at, mistake.at + 1),
            "a comma stands after the value",
            "remove it: a line ends without a comma",
        )
    if value[:1] in "\"'[{":
        here = Span(mistake.at, line_start + pair.start("value") + len(value))
        hint = "text with quotes in it stands between ''' and '''" if value[:1] in "\"'" else "begin a comment with #"
        return here, "more text follows after the value", hint
    if re.match(r"0\d+$", value):
        return (
            Span(line_start + pair.start("value"), mistake.at + 1),
            "a number may not begin with 0",
            (f"write {value.lstrip('0') or '0'}, or in quotes if it is meant as text"),
        )
    return _text_without_quotes(mistake, line_start + pair.start("value"))


def _text_without_quotes(mistake: _Mistake, start: int) -> _Explanation:
    """`version = 1.0.0`, `name = analyzer`: the whole rest of the line is meant, or in an array the one entry."""
    in_array = "[" in mistake.text[mistake.text.rfind("\n", 0, start) + 1 : start]
    match = re.compile(r"[^,\]}#\n]*" if in_array else r"[^#\n]*").match(mistake.text, start)
    value = match.group().rstrip() if match else ""
    key = mistake.line.partition("=")[0].strip() if not in_array and "=" in mistake.line else ""
    hint = f"write: {key} = {_quoted(value)}" if key else f"write {_quoted(value)}"
    return Span(start, start + max(1, len(value))), "text stands without quotes", hint


def _given_twice(mistake: _Mistake) -> _Explanation | None:
    statement = last_statement(mistake.text[: mistake.at])
    if statement is None or statement.earlier is None:
        return None
    line = locate(line_starts(mistake.text), statement.earlier.start)[0]
    name = ".".join(str(part) for part in statement.path if isinstance(part, str))
    if statement.is_table:
        return statement.span, f"[{name}] is given twice, first on line {line}", "put the keys of both under one header"
    return statement.span, f'"{name}" is given twice, first on line {line}', "remove one of them"


def _unclosed_text(mistake: _Mistake) -> _Explanation | None:
    opened = _unclosed(mistake.text)
    if opened is None or opened.quote is None:
        return None
    line_end = mistake.text.find("\n", opened.at)
    end = len(mistake.text) if line_end < 0 else line_end
    hint = f"end it with {opened.quote}"
    if len(opened.quote) == 1:
        hint += "; text of several lines stands between ''' and '''"
    return Span(opened.at, end), "the text has no closing quote", hint


def _unclosed_bracket(mistake: _Mistake) -> _Explanation | None:
    what, bracket = ("array", "]") if "array" in mistake.said else ("inline table", "}")
    before, after = mistake.text[: mistake.at].rstrip(), mistake.text[mistake.at :]
    if not after.strip() or _PAIR.match(after.partition("\n")[0]) or after.startswith("["):
        opened = _unclosed(before)
        if opened is not None and opened.quote is None:
            return (
                Span(opened.at, opened.at + 1),
                f"the {what} has no closing {bracket}",
                f"add {bracket} after its last entry",
            )
    return (
        Span(mistake.at, mistake.at + max(1, len(mistake.token))),
        f"a comma or {bracket} is missing before this",
        "put commas between the entries",
    )


def _escape(mistake: _Mistake) -> _Explanation | None:
    start = mistake.text.rfind("\\", 0, mistake.at)
    if start < 0:
        return None
    return (
        Span(start, start + 2),
        f"{mistake.text[start : start + 2].strip()} is not an escape that TOML knows",
        "put the text between single quotes, where a backslash is a backslash: '…' or '''…'''",
    )


def _invalid_statement(mistake: _Mistake) -> _Explanation | None:
    span, line = mistake.line_span, mistake.line.strip()
    if line.startswith("{"):
        return span, "this looks like JSON, not like TOML", "write one line a key: key = value"
    if line.startswith(("//", "--", "/*")):
        return span, f"{line[:2]} does not begin a comment", "begin comments with #"
    if line.startswith("="):
        return span, 'the key before "=" is missing', None
    name = line.partition("=")[0].strip()
    if "=" in line and name:
        return (
            Span(span.start, span.start + len(name)),
            f'"{name}" is not a bare key',
            f'write: "{name}" ={line.partition("=")[2]}',
        )
    return None


def _key_part(mistake: _Mistake) -> _Explanation | None:
    here = Span(mistake.at, mistake.at + 1)
    rest = mistake.text[mistake.at :].lstrip(" \t")
    if rest.startswith("\n"):
        hint = "put it on one line, or give it a header: [name]"
        return mistake.line_span, "an inline table goes on over the end of the line", hint
    if rest.startswith("}"):
        return here, "a comma stands before the closing }", "remove it: TOML allows it in arrays only"
    if rest.startswith("]"):
        return mistake.line_span, "a table header has no name", "write: [name]"
    return None


def _number_too_long(mistake: _Mistake) -> _Explanation | None:
    return Span(mistake.at, mistake.at + len(mistake.token)), "the number has too many digits", None


def _header_unclosed(mistake: _Mistake) -> _Explanation | None:
    closing = "]]" if "]]" in mistake.said else "]"
    return mistake.line_span, f"the header has no closing {closing}", f"write: {closing.replace(']', '[')}name{closing}"


_EXPLANATIONS: list[tuple[str, Callable[[_Mistake], _Explanation | None]]] = [
    ("Expected '=' after a key", _equals_missing),
    ("Invalid value", _invalid_value),
    ("Expected newline or end of document", _more_than_value),
    ("Cannot overwrite a value", _given_twice),
    ("Cannot declare", _given_twice),
    ("Duplicate inline table key", _given_twice),
    ("Cannot mutate", _given_twice),
    ("Unterminated string", _unclosed_text),
    ("Illegal character", _unclosed_text),
    ('Expected "\'"', _unclosed_text),
    ("Expected \"'''\"", _unclosed_text),
    ("Unclosed", _unclosed_bracket),
    ("Unescaped '\\'", _escape),
    ("Invalid statement", _invalid_statement),
    ("Invalid initial character for a key part", _key_part),
    ("Exceeds the limit", _number_too_long),
    ("Expected ']", _header_unclosed),
]


@dataclass(frozen=True, slots=True)
class _Opened:
    at: int
    quote: str | None
    """The quote that has no partner; None for a bracket."""


def _unclosed(text: str) -> _Opened | None:
    """The first quote in `text` that is not closed, or else the last bracket that is not."""
    brackets: list[int] = []
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            quote = text[at]
            return _Opened(at, quote * 3 if text.startswith(quote * 3, at) else quote)
        if piece.group() in "[{":
            brackets.append(at)
        elif piece.group() in "]}" and brackets:
            brackets.pop()
        at = piece.end()
    return _Opened(brackets[-1], None) if brackets else None


def _quoted(text: str) -> str:
    """`text` as a TOML string, unless it already is a value."""
    text = text.strip().rstrip(",")
    if re.fullmatch(r"""".*"|'.*'|\[.*\]|\{.*\}|true|false|[+-]?\d+(\.\d+)?""", text):
        return text
    return f"'{text}'" if '"' in text or "\\" in text else f'"{text}"'
