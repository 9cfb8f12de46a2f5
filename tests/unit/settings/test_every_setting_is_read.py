"""A setting that nothing reads is a promise that nobody keeps."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

import caxton
from caxton.runtime.settings import Settings

SOURCE = Path(caxton.__file__).parent


def code() -> str:
    """All that could read a setting: not where settings are declared."""
    paths = (path for path in SOURCE.rglob("*.py") if "bundled" not in path.parts and not _declares(path.name))
    return "\n".join(path.read_text() for path in paths)


def _declares(name: str) -> bool:
    return name == "oidc_settings.py" or (name.startswith("settings") and name != "settings_sources.py")


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models(argument)


def names(section: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    """Every setting, by its dotted name and by that of its field."""
    for name, field in section.model_fields.items():
        yield f"{path}{name}", name
        for below in models(field.annotation):
            yield from names(below, f"{path}{name}.")


def test_every_setting_is_read() -> None:
    text = code()
    read = set(re.findall(r"\.([a-z0-9_]+)\b", text))
    assert [dotted for dotted, name in names(Settings) if name not in read] == []
