"""The table of errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.errors import CaxtonError, Hint, error_classes
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
    message=st.text(max_size=50),
    hint=st.text(max_size=50),
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
