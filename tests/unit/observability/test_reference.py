"""The page on metrics is made from the code."""

import re

from caxton.observability.catalogue import BY_NAME
from caxton.observability.reference import PAGE, render


def test_the_page_on_metrics_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m caxton.observability.reference"


def test_the_page_asks_only_for_metrics_that_exist() -> None:
    for name in re.findall(r"caxton_[a-z_]+", render()):
        assert name.removesuffix("_bucket") in BY_NAME
