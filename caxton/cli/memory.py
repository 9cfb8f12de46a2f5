"""`caxton memory add|search|show|list|relate|graph|edit|delete|purge|export|import|stats`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import ago, emit, is_terminal, plain, plural, remark, say, shorten, style, table

if TYPE_CHECKING:
    from caxton.domain.memory import Entity

app = new_app(help="Look into what agents remember, correct and remove it.", no_args_is_help=True)

ScopeName = Annotated[
    str, typer.Option("--scope", metavar="SCOPE", help="workspace, global, agent:NAME or conversation:ID.")
]
MemoryIdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `caxton memory search` shows it.")]
Metadata = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value of its metadata; repeatable.")
]
Where = Annotated[
    list[str] | None, typer.Option("--where", metavar="NAME=VALUE", help="Metadata that must be equal; repeatable.")
]


@app.command()
def add(
    text: Annotated[str, typer.Argument(help="What to remember.")],
    scope: ScopeName = "workspace",
    name: Annotated[str, typer.Option(metavar="TEXT", help="What it is about.")] = "",
    type_: Annotated[str, typer.Option("--type", metavar="WORD", help="What kind of thing it is.")] = "note",
    metadata: Metadata = None,
) -> None:
    """Remember something. The same text in the same scope is kept once."""
    body = {"text": text, "scope": _scope(scope), "name": name, "type": type_, "metadata": _pairs(metadata)}
    with connect() as caxton:
        entity = caxton.remember(body)
    if current().json:
        emit(entity)
        return
    say(entity.id)


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="workspace, global, agent:NAME, conversation:ID; repeatable."),
    ] = None,
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="hybrid, vector (by meaning) or text (by words).")
    ] = "hybrid",
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=200, help="How many.")] = 10,
    min_similarity: Annotated[float, typer.Option(metavar="X", min=0, max=1, help="How close in meaning.")] = 0.0,
    where: Where = None,
) -> None:
    """Find memories by meaning, by words, or by both."""
    from caxton.domain.errors import UsageError

    if mode not in ("hybrid", "vector", "text"):
        raise UsageError(f'"{mode}" is no way to search', "write hybrid, vector or text")
    query = {
        "text": text,
        "mode": mode,
        "scopes": [_scope(each) for each in scope or ["workspace"]],
        "limit": limit,
        "min_similarity": min_similarity,
        "where": _pairs(where),
    }
    with connect() as caxton:
        matches = caxton.search_memory(query)
    if current().json:
        emit({"matches": matches})
        return
    if not matches:
        say("nothing was found")
        return
    rows = [
        [
            style(match.entity.id, "dim"),
            f"{match.similarity:.2f}" if match.similarity is not None else "",
            str(match.entity.scope),
            shorten(_line(match.entity.text), 80),
            ago(match.entity.updated_at),
        ]
        for match in matches
    ]
    for line in table(rows, ["memory", "like", "scope", "text", "when"]):
        say(line)


@app.command("list")
def list_memories(
    scope: ScopeName = "workspace",
    type_: Annotated[str | None, typer.Option("--type", metavar="WORD", help="Only of this kind.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=10_000, help="How many.")] = 50,
) -> None:
    """List the memories of a scope."""
    found: list[Entity] = []
    with connect() as caxton:
        after: str | None = None
        while len(found) < limit:
            page, after = caxton.memories(scope=scope, type=type_, after=after, limit=min(500, limit - len(found)))
            found += page
            if after is None:
                break
    if current().json:
        emit({"memories": found})
        return
    if not found:
        say("nothing is remembered there")
        return
    rows = [[style(each.id, "dim"), each.type, shorten(_line(each.text), 90), ago(each.updated_at)] for each in found]
    for line in table(rows, ["memory", "type", "text", "when"]):
        say(line)


@app.command()
def show(memory_id: MemoryIdArgument) -> None:
    """Show one memory with where it comes from and what it has to do with."""
    with connect() as caxton:
        entity, relations = caxton.memory(memory_id)
    if current().json:
        emit({"memory": entity, "relations": relations})
        return
    say(f"{style(entity.id, 'bold')}  {entity.type}  {entity.scope}")
    source = entity.provenance.model_dump(exclude_none=True)
    facts = [
        ["name", entity.name],
        ["from", ", ".join(f"{name} {value}" for name, value in source.items())],
        ["metadata", ", ".join(f"{name}={value}" for name, value in entity.metadata.items())],
        ["remembered", ago(entity.created_at)],
        ["changed", ago(entity.updated_at)],
        [
            "used",
            f"{plural(entity.accessed, 'time')}, last {ago(entity.last_accessed)}" if entity.accessed else "never",
        ],
    ]
    for line in table([fact for fact in facts if fact[1]], indent="  "):
        say(line)
    for observation in entity.observations:
        say()
        say(_text(observation))
    for relation in relations:
        outward = relation.source == entity.id
        other = relation.target if outward else relation.source
        say(f"  {'→' if outward else '←'} {relation.type} {other}  {style(relation.id, 'dim')}")


@app.command()
def relate(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A memory.")],
    relation: Annotated[str, typer.Argument(metavar="TYPE", help='How, such as "caused by".')],
    target: Annotated[str, typer.Argument(metavar="TO", help="Another memory.")],
) -> None:
    """Say that one memory has to do with another."""
    with connect() as caxton:
        found = caxton.relate_memories(source, relation, target)
    if current().json:
        emit(found)
        return
    say(found.id)


@app.command()
def graph(
    memory_id: MemoryIdArgument,
    hops: Annotated[int, typer.Option(metavar="N", min=1, max=6, help="How far.")] = 2,
    direction: Annotated[str, typer.Option(metavar="WAY", help="out, in or both.")] = "both",
    type_: Annotated[list[str] | None, typer.Option("--type", metavar="TYPE", help="Only these relations.")] = None,
) -> None:
    """Show what is reached from a memory over its relations."""
    from caxton.domain.errors import UsageError

    if direction not in ("out", "in", "both"):
        raise UsageError(f'"{direction}" is no direction', "write out, in or both")
    with connect() as caxton:
        paths = caxton.memory_graph(memory_id, hops=hops, direction=direction, types=type_ or [])
    if current().json:
        emit({"paths": paths})
        return
    if not paths:
        say("nothing is related to it")
    for path in paths:
        way = " · ".join(relation.type for relation in path.relations)
        say(f"{'  ' * path.hops}{way}  {style(path.entity.id, 'dim')}  {shorten(_line(path.entity.text), 70)}")


@app.command()
def edit(
    memory_id: MemoryIdArgument,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What it says from now on.")] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is about.")] = None,
    metadata: Metadata = None,
) -> None:
    """Correct a memory. The log has who did it, and the hashes before and after."""
    from caxton.domain.errors import UsageError

    body: dict[str, Any] = {}
    if text is not None:
        body["observations"] = [text]
    if name is not None:
        body["name"] = name
    if metadata:
        body["metadata"] = _pairs(metadata)
    if not body:
        raise UsageError("nothing to change", "give --text, --name or --set")
    with connect() as caxton:
        entity = caxton.edit_memory(memory_id, body)
    if current().json:
        emit(entity)
        return
    say(f"{entity.id} is corrected")


@app.command()
def delete(memory_id: MemoryIdArgument) -> None:
    """Remove a memory with its relations."""
    with connect() as caxton:
        caxton.delete_memory(memory_id)
    if current().json:
        emit({"deleted": memory_id})
        return
    say(f"{memory_id} is removed")


@app.command()
def purge(
    scope: Annotated[
        str | None, typer.Option("--scope", metavar="SCOPE", help="Only this scope; else the whole workspace.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help='Only what was not touched for so long, such as "90d".')
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; without it what would go is shown.")] = False,
) -> None:
    """Remove many memories at once. Without --yes it shows what would go."""
    from caxton.cli.events import moment_of

    with connect() as caxton:
        found = caxton.purge_memory(scope=scope, before=moment_of(older_than, "--older-than"), dry_run=not yes)
    if current().json:
        emit(found)
        return
    if found.dry_run:
        say(f"{plural(found.count, 'memory', 'memories')} would be removed")
        for example in found.examples:
            say(f"  {shorten(_line(example), 90)}")
        if found.count:
            remark("Do it with --yes; keep a copy with: caxton memory export --out memory.ndjson")
        return
    say(f"{plural(found.count, 'memory', 'memories')} removed")


@app.command()
def export(
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write here; else to stdout.")] = None,
) -> None:
    """Write the workspace's memories as lines of JSON. Vectors are made again when they are imported."""
    with connect() as caxton:
        lines = caxton.export_memory()
        if out is None:
            for line in lines:
                say(line)
            return
        partial = out.with_name(out.name + ".partial")
        count = 0
        with partial.open("w", encoding="utf-8") as target:
            for line in lines:
                target.write(line + "\n")
                count += line.startswith('{"entity"')
        partial.replace(out)
    if current().json:
        emit({"file": str(out), "memories": count})
        return
    say(f"{plural(count, 'memory', 'memories')} written to {out}")


@app.command("import")
def bring_in(file: Annotated[Path, typer.Argument(metavar="FILE", help="What an export wrote.")]) -> None:
    """Take what an export wrote: all of it or nothing. It can be done again without harm."""
    content = file.read_bytes()
    with connect() as caxton:
        found = caxton.import_memory(content)
    if current().json:
        emit(found)
        return
    say(f"{plural(found.entities, 'memory', 'memories')} and {plural(found.relations, 'relation')} brought in")


@app.command()
def stats() -> None:
    """Show how much is remembered."""
    from caxton.domain.quantities import format_size

    with connect() as caxton:
        found = caxton.memory_stats()
    if current().json:
        emit(found)
        return
    for place, counts in found.items():
        size = format_size(counts.bytes)
        memories = plural(counts.entities, "memory", "memories")
        say(f"{style(place, 'bold')}  {memories}, {plural(counts.relations, 'relation')}, {size}")
        for scope, count in sorted(counts.by_scope.items()):
            say(f"  {scope}  {count}")


def _scope(text: str) -> dict[str, str]:
    """The scope that `text` names, as the API takes it.

    Raises:
        UsageError: it names none.
    """
    from caxton.domain.errors import UsageError
    from caxton.domain.memory import MemoryScope

    try:
        return MemoryScope.parse(text).model_dump(mode="json")
    except ValueError:
        raise UsageError(f'"{text}" is no scope', "write workspace, global, agent:NAME or conversation:ID") from None


def _pairs(pairs: list[str] | None) -> dict[str, Any]:
    """Values by name; what reads as JSON (numbers, true, null) is taken as that.

    Raises:
        UsageError: one is not NAME=VALUE.
    """
    import json

    from caxton.domain.errors import UsageError

    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f'"{pair}" is no value', "write NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _text(text: str) -> str:
    return plain(text) if is_terminal() else text


def _line(text: str) -> str:
    return " ".join(_text(text).split())
