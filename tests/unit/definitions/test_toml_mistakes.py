"""Files that are not TOML: the place, what is wrong in plain words, and the fix."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toml_documents import DOCUMENTS

from caxton.definitions.toml_source import SIZE_LIMIT, TomlSource, decode_toml, read_toml
from caxton.domain.problems import Problem

COMMENT = "or begin the line with # to comment"
HEADER = "put it on one line, or give it a header: [name]"
SINGLE = "put the text between single quotes, where a backslash is a backslash: '…' or '''…'''"
LONG = "text of several lines stands between ''' and '''"

MISTAKES: list[tuple[str, str, str, str | None]] = [
    # text, line:column+width, message, hint
    ('name "x"', "1:1+8", '"=" is missing after the key "name"', 'write: name = "x"'),
    ('name: "x"', "1:5+1", 'a key and its value are joined by "=", not by ":"', 'write: name = "x"'),
    ("name", "1:1+4", '"name" is neither a key with a value nor a [table]', f'write: name = "…", {COMMENT}'),
    ("my name = 1", "1:1+7", 'the key "my name" has a space in it', "write: my_name = 1"),
    ("---\nname: x", "1:1+3", "this looks like YAML, not like TOML", "write one line a key: key = value"),
    ('{"name": "x"}', "1:1+13", "this looks like JSON, not like TOML", "write one line a key: key = value"),
    ("a = 1\n// note", "2:1+7", "// does not begin a comment", "begin comments with #"),
    ("= 1", "1:1+3", 'the key before "=" is missing', None),
    ("é = 1", "1:1+1", '"é" is not a bare key', 'write: "é" = 1'),
    ('name = "x', "1:8+2", "the text has no closing quote", f'end it with "; {LONG}'),
    ("name = 'x\nb = 2", "1:8+2", "the text has no closing quote", f"end it with '; {LONG}"),
    ('a = "b" # "\nc = "d', "2:5+2", "the text has no closing quote", f'end it with "; {LONG}'),
    ('a = 1\nb = """x\ny', "2:5+4", "the text has no closing quote", 'end it with """'),
    ("a = '''x", "1:5+4", "the text has no closing quote", "end it with '''"),
    ("name = analyzer # c", "1:8+8", "text stands without quotes", 'write: name = "analyzer"'),
    ("name = my analyzer", "1:8+11", "text stands without quotes", 'write: name = "my analyzer"'),
    ("version = 1.0.0", "1:11+5", "text stands without quotes", 'write: version = "1.0.0"'),
    ("time = 30s", "1:8+3", "text stands without quotes", 'write: time = "30s"'),
    ("tools = [csv-tools]", "1:10+9", "text stands without quotes", 'write "csv-tools"'),
    ("on = True", "1:6+4", "True is not a TOML value", "write true, or in quotes if it is meant as text"),
    ("on = no", "1:6+2", "no is not a TOML value", "write false, or in quotes if it is meant as text"),
    ("a = null", "1:5+4", "TOML has no null", "leave the key out"),
    ("a = “x”", "1:5+3", "“ is not a quote that TOML knows", "use the straight quotes \" or '"),
    ("a = .5", "1:5+2", "a number begins with a digit", "write 0.5"),
    ("a = 01", "1:5+2", "a number may not begin with 0", "write 1, or in quotes if it is meant as text"),
    ("a =", "1:1+3", "the value is missing", 'write it after the "="; an empty text is ""'),
    ("a = 1,", "1:6+1", "a comma stands after the value", "remove it: a line ends without a comma"),
    ('a = "x" b', "1:9+1", "more text follows after the value", "text with quotes in it stands between ''' and '''"),
    ("[x]]", "1:4+1", "more text follows where the line should end", "begin a comment with #"),
    ("a = [1,,2]", "1:8+1", "there is nothing between two commas", "remove one of them"),
    ("a = [1\nb = 2", "1:5+1", "the array has no closing ]", "add ] after its last entry"),
    ('a = ["x" "y"]', "1:10+3", "a comma or ] is missing before this", "put commas between the entries"),
    ("a = {b=1", "1:5+1", "the inline table has no closing }", "add } after its last entry"),
    ("a = {b=1,\nc=2}", "1:1+9", "an inline table goes on over the end of the line", HEADER),
    ("a = {b=1,}", "1:10+1", "a comma stands before the closing }", "remove it: TOML allows it in arrays only"),
    ("[a", "1:1+2", "the header has no closing ]", "write: [name]"),
    ("[[a]", "1:1+4", "the header has no closing ]]", "write: [[name]]"),
    ("[]", "1:1+2", "a table header has no name", "write: [name]"),
    ("a=1\nb=2\na=3", "3:1+1", '"a" is given twice, first on line 1', "remove one of them"),
    ("x.y = 1\n[x]\ny = 2", "2:2+1", "[x] is given twice, first on line 1", "put the keys of both under one header"),
    ("a = {b=1, c=2, b=3}", "1:16+1", '"a.b" is given twice, first on line 1', "remove one of them"),
    ("[a]\n[b]\n[a]", "3:2+1", "[a] is given twice, first on line 1", "put the keys of both under one header"),
    ('a = "\\d+"', "1:6+2", "\\d is not an escape that TOML knows", SINGLE),
    ("a = " + "9" * 5000, "1:5+5000", "the number has too many digits", None),
    ("a = " + "[" * 20_000, "1:1+1", "arrays or tables are nested too deeply", "a few levels are enough"),
]  # fmt: skip


@pytest.mark.requirement("AGT-2")
@pytest.mark.parametrize(("text", "place", "message", "hint"), MISTAKES, ids=[mistake[0][:20] for mistake in MISTAKES])
def test_a_mistake_is_explained_where_it_is(text: str, place: str, message: str, hint: str | None) -> None:
    problem = read_toml("agents/x.toml", text)
    assert isinstance(problem, Problem)
    found = f"{problem.line}:{problem.column}+{problem.width}"
    assert (found, problem.message, problem.hint) == (place, message, hint)
    assert problem.severity == "error"


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.text("ab= \n\"[]{}.,#\\'1-_:", max_size=40),
        st.tuples(DOCUMENTS, st.integers(0, 200), st.sampled_from(['"', "[", "]", "\n", "=", "'''", "\\", ""])).map(
            lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
        ),
    )
)
def test_any_text_is_data_or_one_problem_inside_the_text(text: str) -> None:
    found = read_toml("x.toml", text)
    normalised = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if isinstance(found, TomlSource):
        assert found.data == tomllib.loads(normalised) or "nan" in text
        return
    lines = normalised.split("\n")
    assert 1 <= found.line <= len(lines)
    assert 1 <= found.column <= len(lines[found.line - 1]) + 1
    assert found.width >= 1


def test_what_is_not_utf8_is_found_at_its_first_byte() -> None:
    problem = decode_toml("agents/x.toml", b"name = 'x'\n# caf\xe9\n")
    assert isinstance(problem, Problem)
    assert (problem.line, problem.column, problem.message) == (2, 6, "the file is not UTF-8 text")


def test_a_file_of_more_than_a_megabyte_is_refused() -> None:
    problem = decode_toml("agents/x.toml", b"#" * (SIZE_LIMIT + 1))
    assert isinstance(problem, Problem)
    assert problem.message == "the file is larger than 1 MB"
