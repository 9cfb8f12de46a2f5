"""Decision records have one form, and superseded ones say by what."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("0*.md"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_has_status_context_decision_consequences(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    number = int(record.name[:4])
    assert text.startswith(f"# {number}. ")
    status = re.search(r"^\*\*Status:\*\* (accepted|superseded by \[(\d{4})\])", text, re.MULTILINE)
    assert status, "write: **Status:** accepted, or superseded by [NNNN](NNNN-name.md)"
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    if status[2]:
        later = next(FOLDER.glob(f"{status[2]}-*.md")).read_text(encoding="utf-8")
        assert re.search(rf"Supersedes[^;]*\[{number:04}\]", later), (
            f"{status[2]} does not say that it supersedes this one"
        )


def test_the_list_of_decisions_names_each_of_them_by_its_title() -> None:
    listed = dict(
        re.findall(r"^- \[\d{4}\]\((.+)\) (.+)$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    titles = {path.name: path.read_text(encoding="utf-8").partition("\n")[0].partition(". ")[2] for path in RECORDS}
    assert listed == titles
