"""The words of the project: messages and hints begin with a small letter, as they follow "error:" and "hint:", and texts use
the standard terms of the field."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import caxton
from caxton.domain import errors

ROOT = Path(caxton.__file__).parent
NAMES = re.compile(
    r"[A-Z]{2,}|Caxton|Temporal|WebAssembly|Python|PostgreSQL|Qdrant|LanceDB|Ctrl|Stripe|Authorization|Host\b|Idempotency|X-"
)
"""What begins with a capital wherever it stands."""
ERRORS = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.CaxtonError)
}
PROBLEMS = {"problem", "Problem", "with_hint"}


def begins(text: ast.expr) -> str:
    """The constant that a text begins with; empty if it begins with a value."""
    match text:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=[first, *_]):
            return begins(first)
        case ast.BinOp(left=left):
            return begins(left)
        case ast.IfExp(body=body):
            return begins(body)
        case _:
            return ""


def texts(call: ast.Call) -> list[ast.expr]:
    """The arguments of `call` that people read as messages or hints."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == "Hint":
        return [each.value for each in call.keywords if each.arg == "text"]
    if name in ERRORS or name in PROBLEMS:
        return [*call.args, *(each.value for each in call.keywords if each.arg in ("reason", "message", "hint"))]
    return []


def loud() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for argument in texts(node) if isinstance(node, ast.Call) else []:
                text = begins(argument)
                if text[:1].isupper() and not NAMES.match(text):
                    yield f"{path.relative_to(ROOT.parent)}:{argument.lineno}: {text}"


def test_messages_and_hints_begin_with_a_small_letter() -> None:
    assert list(loud()) == []


BANNED = {
    r"in hand": "in progress",
    r"at the most": "at most",
    r"for ever": "forever",
    r"anew": "again",
    r"in the midst|in its midst": "in the middle",
    r"reckon(s|ed|ing)?": "count, use",
    r"just so": "unchanged, the same",
    r"plays? along": "is available",
    r"(bring|brings|brought) in": "import",
    r"(goes|go|went|stands?|stood) aside": "say what happens",
    r"forsaken|manieth": "orphaned; every tenth",
    r"(a|one) (JSON )?object a line|lines of JSON": "one object per line, JSON lines",
    r"a (chain|file|process) a (customer|group|turn)": "one per workspace",
    r"ever (more seldom|longer)": "less and less often",
    r"broken promises?": "SLA breaches",
    r"nowhere told": "not recorded",
    r"stands? alone": "is one-shot",
    r"(is|are|was|were|be) looked after": "is checked, managed",
    r"gets? to see": "sees",
    r"how much room": "how much space",
    r"(cannot|can) be had": "cannot be read, fetched",
    r"asks? for patience": "limits the rate of requests",
    r"worthless": "revoked",
    r"(comes?|came) along": "is included, carried over",
    r"and the like": "and similar ones",
    r"to the letter": "exactly",
    r"(rooms? and houses|which room is for)": "package, module",
}
"""Phrases that are not the field's or not today's English, with what to say."""

PAGES = [
    *(ROOT.parent / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT.parent / "docs").rglob("*.md")),
    *(path for path in sorted(ROOT.rglob("*.py")) if "versions" not in path.parts),
    *sorted(path for suffix in ("toml", "md", "html") for path in ROOT.rglob(f"*.{suffix}")),
]
"""What people read: pages, the code with its texts, and what it copies into their folders. Migrations stay as they were."""


def test_texts_use_the_terms_of_the_field() -> None:
    banned = {phrase: re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE) for phrase in BANNED}
    any_of_them = re.compile("|".join(pattern.pattern for pattern in banned.values()), re.IGNORECASE)
    found: list[str] = []
    for path in PAGES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if any_of_them.search(line):
                words = next(phrase for phrase, pattern in banned.items() if pattern.search(line))
                found.append(f"{path.relative_to(ROOT.parent)}:{number}: {line.strip()[:100]}  (say: {BANNED[words]})")
    assert found == []


def test_an_event_says_what_happened_and_not_that_somebody_did_it() -> None:
    catalogue = (ROOT.parent / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
    descriptions = re.findall(r"^### \w+\n\n(.+)$", catalogue, re.MULTILINE)
    assert len(descriptions) > 80
    assert [text for text in descriptions if re.match(r"(Somebody|Nobody|What|Something) ", text)] == []


def test_the_page_of_errors_says_nothing_twice() -> None:
    """What stands behind the title of an error adds to it."""
    same: list[str] = []
    for code, error_class in errors.error_classes().items():
        title = set(re.findall(r"\w{4,}", error_class.title.lower()))
        first = (error_class.__dict__.get("__doc__") or "").partition(". ")[0].partition(";")[0].lower()
        if title and len(title & set(re.findall(r"\w{4,}", first))) > 0.75 * len(title):
            same.append(f"{code}: {error_class.title}. {first}")
    assert same == []
    assert [
        code
        for code, each in errors.error_classes().items()
        if code != "internal" and each.title == errors.CaxtonError.title
    ] == []
