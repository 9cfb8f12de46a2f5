"""The table of errors."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.domain.errors import (
    LONGEST_DETAILS,
    LONGEST_MESSAGE,
    CaxtonError,
    ExecutionFailed,
    Hint,
    error_classes,
)
from caxton.domain.errors_reference import TARGET, page


def test_the_page_of_errors_is_not_stale() -> None:
    assert TARGET.read_text() == page(), "run: make docs"


@pytest.mark.requirement("ERR-1")
@pytest.mark.parametrize("error_class", error_classes().values(), ids=lambda error_class: error_class.code)
def test_every_error_says_how_it_appears_everywhere(error_class: type[CaxtonError]) -> None:
    assert 400 <= error_class.status < 600
    assert 1 <= error_class.exit_code < 128
    assert error_class.title
    assert not error_class.title.endswith(".")


def test_no_two_classes_share_a_code() -> None:
    pending, codes = [CaxtonError], []
    while pending:
        error_class = pending.pop()
        codes.append(error_class.code)
        pending += error_class.__subclasses__()
    assert len(codes) == len(set(codes))


@given(
    code=st.sampled_from(sorted(error_classes())),
    message=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50),
    hint=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50),
    retry_after=st.none() | st.floats(0, 100),
)
def test_a_report_brings_back_the_same_error(code: str, message: str, hint: str, retry_after: float | None) -> None:
    error_class = error_classes()[code]
    error = error_class.from_report(
        CaxtonError(message, Hint(text=hint, command="x"), retry_after=retry_after)
        .report()
        .model_copy(update={"code": code, "retryable": error_class.retryable})
    )
    assert type(error) is error_class
    assert error.message == message
    assert error.hints == [Hint(text=hint, command="x")]
    assert error.retry_after == retry_after
    assert error_class.from_report(error.report()).report() == error.report()


@settings(deadline=None)  # machines that run tests are busy
@given(
    st.text(st.characters(exclude_categories=[]), max_size=200),
    st.integers(0, 100_000),
    st.lists(st.text(), max_size=20),
)
def test_what_a_report_says_is_bounded_and_can_be_kept(text: str, times: int, others: list[str]) -> None:
    text *= times if len(text) * times < 1_000_000 else 1
    problems = [{"path": other, "message": text} for other in others * 20]
    given_details = {"problems": problems, "text": text, "nested": {text[:100]: [text] * 50}}
    report = ExecutionFailed(text, Hint(text=text, command=text), reason=text, details=given_details).report()
    for told in (report.message, report.reason, report.hints[0].text, report.hints[0].command):
        assert told is not None
        assert "\0" not in told
        assert len(told.encode()) <= LONGEST_MESSAGE
        assert told == text or told[:100] in text.encode(errors="replace").decode().replace("\0", "\ufffd")
    written = report.model_dump_json()
    assert "\\u0000" not in written
    assert len(written) < 2 * LONGEST_DETAILS + 10 * LONGEST_MESSAGE
    assert CaxtonError.from_report(report).report() == report


def test_how_much_of_a_text_is_left_out_is_told() -> None:
    report = ExecutionFailed("no: " + "x" * 3_000_000).report()
    assert report.message.startswith("no: xxx")
    assert report.message.endswith(" characters more)")
