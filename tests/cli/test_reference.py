"""The generated pages of the reference say what the code says."""

import pytest

from caxton.cli.app import load
from caxton.cli.commands import COMMANDS
from caxton.cli.reference import FOLDER, cli_page, pages, settings_page
from caxton.runtime.settings import Settings
from caxton.runtime.settings_sources import load_settings


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


def test_no_option_of_a_command_has_the_name_of_one_that_every_command_has() -> None:
    """`create(workspace=…)` for --only took the place of --workspace, and its list became a header."""
    for entry in COMMANDS.values():
        pending = [load(entry)]
        while pending:
            command = pending.pop()
            names = [parameter.name for parameter in command.params]
            assert len(names) == len(set(names)), (entry.name, command.name)
            pending.extend(getattr(command, "commands", {}).values())
