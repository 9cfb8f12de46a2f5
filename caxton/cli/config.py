"""`caxton config show|path|schema`"""

from typing import Any, get_args

from caxton.cli.app import new_app
from caxton.cli.invocation import current
from caxton.cli.output import emit, prose, say, style
from caxton.cli.tables import table

app = new_app(help="Show the settings and where each comes from.", no_args_is_help=True)


@app.command()
def show() -> None:
    """Show every setting with its value and where it comes from. Secrets are masked."""
    loaded = current().settings()
    values = loaded.values()
    if current().json:
        emit(
            {
                "file": str(loaded.file) if loaded.file else None,
                "settings": {name: {"value": value, "from": loaded.origins[name]} for name, value in values.items()},
            }
        )
        return
    rows = [[name, _shown(name, value), _origin(loaded.origins[name])] for name, value in values.items()]
    for line in table(rows, ["setting", "value", "from"]):
        say(line)


@app.command()
def path() -> None:
    """Show which settings file is read, and the data folder."""
    loaded = current().settings()
    file = str(loaded.file) if loaded.file else None
    if current().json:
        emit({"file": file, "data_dir": str(loaded.settings.data_dir)})
        return
    prose(f"settings file  {file or 'none: neither here nor in a folder above is a caxton.toml'}")
    prose(f"data folder    {loaded.settings.data_dir}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of caxton.toml, for editors."""
    from caxton.runtime.settings import ConfigFile

    emit({"$schema": "https://json-schema.org/draft/2020-12/schema", **ConfigFile.model_json_schema()})


def _shown(name: str, value: Any) -> str:
    import json

    from caxton.domain.quantities import format_duration, format_size, parse_duration, parse_size

    if value in (None, [], {}):
        return "–"
    if isinstance(value, (int, float)):
        readers = _readers(name.split("."))
        if parse_size in readers:
            return format_size(int(value))
        if parse_duration in readers:
            return format_duration(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _readers(path: list[str]) -> set[Any]:
    """The functions that read the text of the setting at `path`: they say whether it is a size or a time."""
    from pydantic import BaseModel, BeforeValidator

    from caxton.runtime.settings import Settings

    model: Any = Settings
    annotations: list[Any] = []
    for part in path:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return set()
        model, annotations = field.annotation, [*field.metadata, field.annotation]
    found: set[Any] = set()
    while annotations:
        each = annotations.pop()
        if isinstance(each, BeforeValidator):
            found.add(each.func)
        annotations += [*get_args(each), *getattr(each, "__metadata__", ())]
    return found


def _origin(origin: str) -> str:
    return style(origin, "dim") if origin == "default" else origin
