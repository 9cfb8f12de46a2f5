"""The generated pages of the reference say what the code says."""

import pytest

from caxton.cli.commands import COMMANDS
from caxton.cli.reference import FOLDER, cli_page, pages, settings_page
from caxton.runtime.settings import Settings, load_settings


@pytest.mark.parametrize("name", ["cli.md", "settings.md"])
def test_the_pages_are_up_to_date(name: str, folder: object) -> None:
    assert (FOLDER / name).read_text() == pages()[name], "run: python -m caxton.cli.reference"


def test_every_command_and_every_setting_is_in_the_reference(folder: object) -> None:
    commands = cli_page()
    assert all(f"caxton {name}" in commands for name in COMMANDS)
    page = settings_page()
    for name in load_settings().values():
        assert name.rpartition(".")[2] in page, name
    for name in Settings.model_fields:
        assert f"CAXTON_{name.upper()}" in page
