"""Strategies for valid TOML documents, written in every way that TOML has, together with nothing but their text."""

import string

from hypothesis import strategies as st

BARE = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=6)
PLAIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, blacklist_characters="\x7f\"'\\"), max_size=8)
SPACE = st.sampled_from(["", " ", "\t", "  "])
COMMENT = st.sampled_from(["", " # comment", " # [not.a.table] = 'x'", '# """'])
BREAK = st.sampled_from(["", "\n", "\n\n", " # in between\n", "\n  # ]\n"])


def _basic(text: str) -> str:
    return f'"{text}"'


ESCAPED = st.lists(
    st.one_of(PLAIN, st.sampled_from(["\\n", "\\\\", '\\"', "\\u00e9", "\\U0001F600", "\\t"])), max_size=4
).map("".join)
MULTILINE = st.lists(
    st.one_of(ESCAPED, st.sampled_from(["\n", '"', '""', "\\\n   ", "\\  \n\n", "\\\n \x85", "'''"])), max_size=5
).map("".join)
RAW_LINES = st.lists(st.one_of(PLAIN, st.sampled_from(["\n", "'", "''", "\\", '"""', "#"])), max_size=5).map("".join)

STRINGS = st.one_of(
    ESCAPED.map(_basic),
    PLAIN.map(lambda text: f"'{text}'"),
    # three quotes in a row would end the text, so a letter keeps them apart
    MULTILINE.map(lambda text: '"""' + text.replace('""', '"a"') + '"""'),
    RAW_LINES.map(lambda text: "'''" + text.replace("''", "'a'") + "'''"),
    st.sampled_from(["'''''a'''", '"""a"""""', "''''a'''''", '""""""', "''''''"]),
)
SCALARS = st.one_of(
    STRINGS,
    st.integers(-(10**9), 10**9).map(str),
    st.sampled_from(["true", "false", "1.5", "-2e-7", "inf", "0xff", "1_000", "12:30:00", "1979-05-27"]),
    st.sampled_from(["1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "1979-05-27 07:32:00.5+01:00"]),
)
KEYS = st.one_of(BARE, PLAIN.map(_basic), PLAIN.map(lambda text: f"'{text}'"), ESCAPED.map(_basic))


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    entries = draw(st.lists(st.tuples(BREAK, values, BREAK), max_size=3))
    text = ",".join(f"{before}{value}{after}" for before, value, after in entries)
    return f"[{text}{draw(BREAK)}]" if not entries else f"[{text}{draw(st.sampled_from(['', ',']))}{draw(BREAK)}]"


@st.composite
def inline_tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    keys = draw(st.lists(BARE, max_size=3, unique=True))
    pairs = [f"{draw(SPACE)}{key}{draw(SPACE)}={draw(SPACE)}{draw(values)}{draw(SPACE)}" for key in keys]
    return "{" + ",".join(pairs) + "}"


VALUES = st.recursive(SCALARS, lambda inner: st.one_of(arrays(inner), inline_tables(inner)), max_leaves=6)


@st.composite
def pairs(draw: st.DrawFn) -> str:
    key = f"{draw(SPACE)}.{draw(SPACE)}".join(draw(st.lists(KEYS, min_size=1, max_size=3)))
    return f"{draw(SPACE)}{key}{draw(SPACE)}={draw(SPACE)}{draw(VALUES)}{draw(SPACE)}{draw(COMMENT)}"


@st.composite
def headers(draw: st.DrawFn) -> str:
    name = f"{draw(SPACE)}.{draw(SPACE)}".join(draw(st.lists(KEYS, min_size=1, max_size=3)))
    opening, closing = draw(st.sampled_from([("[", "]"), ("[[", "]]")]))
    return f"{opening}{draw(SPACE)}{name}{draw(SPACE)}{closing}{draw(COMMENT)}"


DOCUMENTS = st.lists(st.one_of(pairs(), pairs(), headers(), st.just("")), max_size=8).map("\n".join)
"""Most of these are valid; a few give a key twice, and are for tests to leave out."""
