"""The blocking client is made from the asynchronous one."""

import inspect

import pytest

from caxton.client import AsyncCaxton, Caxton, unasync


@pytest.mark.parametrize(("source", "target"), unasync.SOURCES.items())
def test_the_generated_file_is_up_to_date(source: str, target: str) -> None:
    made = unasync.convert((unasync.FOLDER / source).read_text(), target)
    present = (unasync.FOLDER / target).read_text()
    assert made == present, "run `python -m caxton.client.unasync`"


@pytest.mark.requirement("FAC-5")
def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        found = inspect.getmembers(client, inspect.isfunction)
        return {name: [*inspect.signature(method).parameters] for name, method in found if not name.startswith("_")}

    assert methods(Caxton) == methods(AsyncCaxton)
