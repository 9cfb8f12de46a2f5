"""`caxton memory`: look at memories, correct and remove them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli import memory_bulk
from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.memory_values import (
    SetMetadata,
    UnsetMetadata,
    Where,
    command_there,
    headline,
    metadata_of,
    scope_of,
    shown,
    value_text,
)
from caxton.cli.output import ago, complain, emit, plural, prose, remark, say, style
from caxton.cli.tables import table

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


@app.command()
def add(
    text: Annotated[str, typer.Argument(help="What to remember.")],
    scope: ScopeName = "workspace",
    name: Annotated[str, typer.Option(metavar="TEXT", help="What it is about.")] = "",
    type_: Annotated[str, typer.Option("--type", metavar="WORD", help="What kind of thing it is.")] = "note",
    metadata: Metadata = None,
) -> None:
    """Store a memory. The same text in the same scope is stored once."""
    body = {"text": text, "scope": scope_of(scope), "name": name, "type": type_, "metadata": metadata_of(metadata)}
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
        "scopes": [scope_of(each) for each in scope or ["workspace"]],
        "limit": limit,
        "min_similarity": min_similarity,
        "where": metadata_of(where),
    }
    with connect() as caxton:
        found = caxton.search_memory(query)
    if current().json:
        emit(found)
        return
    matches = found.matches
    if found.stale:
        again = "global" if scope and set(scope) == {"global"} else None
        complain(
            f"{plural(found.stale, 'memory', 'memories')} can be found by their words only: another embedder made their "
            f"vectors. Embed them again with: {command_there('caxton memory reembed', again)}"
        )
    if not matches:
        prose("nothing was found")
        return
    rows = [
        [
            style(match.entity.id, "dim"),
            f"{match.similarity:.2f}" if match.similarity is not None else "",
            str(match.entity.scope),
            headline(match.entity, 80),
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
        prose("nothing is remembered there")
        remark(f"What there is, by scope: {command_there('caxton memory stats')}")
        return
    rows = [[style(each.id, "dim"), each.type, headline(each, 90), ago(each.updated_at)] for each in found]
    for line in table(rows, ["memory", "type", "text", "when"]):
        say(line)


@app.command()
def show(memory_id: MemoryIdArgument) -> None:
    """Show one memory with its provenance and its relations."""
    with connect() as caxton:
        entity, relations = caxton.memory(memory_id)
    if current().json:
        emit({"memory": entity, "relations": relations})
        return
    prose(f"{style(entity.id, 'bold')}  {entity.type}  {entity.scope}")
    source = entity.provenance.model_dump(exclude_none=True)
    facts = [
        ["name", shown(entity.name)],
        ["from", shown(", ".join(f"{name} {value}" for name, value in source.items()))],
        ["metadata", shown(", ".join(f"{name}={value_text(value)}" for name, value in entity.metadata.items()))],
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
        say(shown(observation))
    for relation in relations:
        outward = relation.source == entity.id
        other = relation.target if outward else relation.source
        properties = shown("".join(f"  {name}={value_text(value)}" for name, value in relation.properties.items()))
        prose(f"  {'→' if outward else '←'} {relation.type} {other}  {style(relation.id, 'dim')}{properties}")


@app.command()
def relate(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A memory.")],
    relation: Annotated[str, typer.Argument(metavar="TYPE", help='How, such as "caused by".')],
    target: Annotated[str, typer.Argument(metavar="TO", help="Another memory.")],
    properties: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A property of the relation; repeatable.")
    ] = None,
) -> None:
    """Relate one memory to another. Repeated, it replaces the properties of the relation."""
    with connect() as caxton:
        found = caxton.relate_memories(source, relation, target, metadata_of(properties))
    if current().json:
        emit(found)
        return
    say(found.id)


@app.command()
def unrelate(
    relation_id: Annotated[str, typer.Argument(metavar="RELATION", help="As `caxton memory show` shows it.")],
) -> None:
    """Remove a relation; the memories stay."""
    with connect() as caxton:
        caxton.unrelate_memories(relation_id)
    if current().json:
        emit({"deleted": relation_id})
        return
    prose(f"{relation_id} is removed")


@app.command()
def graph(
    memory_id: MemoryIdArgument,
    hops: Annotated[int, typer.Option(metavar="N", min=1, max=6, help="How far.")] = 2,
    direction: Annotated[str, typer.Option(metavar="WAY", help="out, in or both.")] = "both",
    type_: Annotated[list[str] | None, typer.Option("--type", metavar="TYPE", help="Only these relations.")] = None,
) -> None:
    """Show the memories that are reached over relations."""
    from caxton.domain.errors import UsageError

    if direction not in ("out", "in", "both"):
        raise UsageError(f'"{direction}" is not a direction', "write out, in or both")
    with connect() as caxton:
        paths = caxton.memory_graph(memory_id, hops=hops, direction=direction, types=type_ or [])
    if current().json:
        emit({"paths": paths})
        return
    if not paths:
        prose("nothing is related to it")
    for path in paths:
        way = " · ".join(relation.type for relation in path.relations)
        prose(f"{'  ' * path.hops}{way}  {style(path.entity.id, 'dim')}  {headline(path.entity, 70)}")


@app.command()
def edit(
    memory_id: MemoryIdArgument,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What it says from now on.")] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is about.")] = None,
    metadata: SetMetadata = None,
    unset: UnsetMetadata = None,
) -> None:
    """Edit a memory; fields that are not given stay. The log records who did it, and the hashes before and after."""
    from caxton.domain.errors import UsageError

    body: dict[str, Any] = {}
    if text is not None:
        body["observations"] = [text]
    if name is not None:
        body["name"] = name
    values = metadata_of(metadata)
    if not body and not values and not unset:
        raise UsageError("nothing to change", "give --text, --name, --set or --unset")
    with connect() as caxton:
        if values or unset:
            known = caxton.memory(memory_id)[0].metadata
            body["metadata"] = {name: value for name, value in known.items() if name not in (unset or [])} | values
        entity = caxton.edit_memory(memory_id, body)
    if current().json:
        emit(entity)
        return
    prose(f"{entity.id} is corrected")


@app.command()
def delete(memory_id: MemoryIdArgument) -> None:
    """Remove a memory with its relations."""
    with connect() as caxton:
        caxton.delete_memory(memory_id)
    if current().json:
        emit({"deleted": memory_id})
        return
    prose(f"{memory_id} is removed")


@app.command()
def stats() -> None:
    """Show the number and size of memories."""
    from caxton.domain.quantities import format_size

    with connect() as caxton:
        found = caxton.memory_stats()
    if current().json:
        emit(found)
        return
    for place, counts in found.items():
        size = format_size(counts.bytes)
        memories = plural(counts.entities, "memory")
        prose(f"{style(place, 'bold')}  {memories}, {plural(counts.relations, 'relation')}, {size}")
        if counts.stale:
            again = command_there("caxton memory reembed", "global" if place == "shared" else None)
            prose(f"  {counts.stale:,} to embed again, for the embedder was changed: {again}")
        for scope, count in sorted(counts.by_scope.items()):
            prose(f"  {scope}  {count}")


app.command("edit-many")(memory_bulk.edit_many)
app.command()(memory_bulk.purge)
app.command()(memory_bulk.undo)
app.command()(memory_bulk.export)
app.command("import")(memory_bulk.bring_in)
app.command()(memory_bulk.retention)
app.command()(memory_bulk.reembed)
