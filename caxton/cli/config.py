"""`caxton config show|path|schema`"""

from typing import Any

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

    from caxton.domain.quantities import format_duration, format_size

    if value in (None, [], {}):
        return "–"
    if name.endswith("_bytes"):
        return format_size(value)
    if name.endswith("_timeout"):
        return format_duration(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _origin(origin: str) -> str:
    return style(origin, "dim") if origin == "default" else origin
