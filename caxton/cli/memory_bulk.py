"""The commands of `caxton memory` that touch many memories at once."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.acknowledgement import progress
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.memory_values import (
    SetMetadata,
    UnsetMetadata,
    Where,
    command_there,
    metadata_of,
    on_one_line,
    shared_scope,
)
from caxton.cli.output import ago, complain, emit, plural, prose, remark, say, shorten

if TYPE_CHECKING:
    from caxton.domain.memory_export import Piece
    from caxton.views.memory import BulkPreview, RetentionView

SHOWN = 10
"""Relations of an import that are told one by one."""

TypeName = Annotated[str | None, typer.Option("--type", metavar="WORD", help="Only of this kind.")]
SomeScope = Annotated[
    str | None, typer.Option("--scope", metavar="SCOPE", help="Only this scope; else the whole workspace.")
]
PlaceName = Annotated[
    str | None,
    typer.Option("--scope", metavar="SCOPE", help="global: what all workspaces share; else the workspace's."),
]
OlderThan = Annotated[
    str | None, typer.Option(metavar="TIME", help='Only memories that were not changed for this long, such as "90d".')
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it; without it what would happen is shown.")]


def purge(
    scope: SomeScope = None,
    type_: TypeName = None,
    where: Where = None,
    older_than: OlderThan = None,
    for_good: Annotated[bool, typer.Option("--for-good", help="Keep no copy for an undo.")] = False,
    yes: Yes = False,
) -> None:
    """Remove many memories at once. Without --yes it shows what would go."""
    from caxton.cli.events import moment_of

    before = moment_of(older_than, "--older-than")
    with connect() as caxton:
        found = caxton.purge_memory(
            scope=scope,
            type=type_,
            before=before,
            where=metadata_of(where),
            can_be_undone=not for_good,
            dry_run=not yes,
        )
    _show(found, "would be removed", "removed", "Do it with --yes.")
    if current().json:
        return
    if found.can_be_undone and found.count:
        remark(f"It can be undone for a week: {command_there('caxton memory undo', scope)}")
    elif found.dry_run and found.count:
        keep = command_there("caxton memory export --out memory.ndjson", scope)
        remark(f"It cannot be undone; keep a copy with: {keep}")


def edit_many(
    scope: SomeScope = None,
    type_: TypeName = None,
    where: Where = None,
    older_than: OlderThan = None,
    set_: SetMetadata = None,
    unset: UnsetMetadata = None,
    new_type: Annotated[str | None, typer.Option("--set-type", metavar="WORD", help="What kind they are.")] = None,
    yes: Yes = False,
) -> None:
    """Change many memories at once. Without --yes it shows which."""
    from caxton.cli.events import moment_of

    changes = {"set": metadata_of(set_), "unset": unset or [], "type": new_type}
    before = moment_of(older_than, "--older-than")
    with connect() as caxton:
        found = caxton.edit_memories(
            changes, scope=scope, type=type_, before=before, where=metadata_of(where), dry_run=not yes
        )
    _show(found, "would be changed", "changed", "Do it with --yes.")
    if found.count and not found.dry_run:
        remark(f"It can be undone for a week: {command_there('caxton memory undo', scope)}")


def undo(scope: PlaceName = None, yes: Yes = False) -> None:
    """Undo the last purge, import or change of many. Without --yes it shows what that was."""
    shared = shared_scope(scope)
    with connect() as caxton:
        found = caxton.undo_memory(shared=shared, dry_run=True)
        if yes and found.operation is not None:
            counted = found.left
            done = _until_nothing_is_left(lambda: caxton.undo_memory(shared=shared, dry_run=False), "undone")
            found = found.model_copy(update={"dry_run": False, "done": done or counted, "left": 0})
    if current().json:
        emit(found)
        return
    if found.operation is None or found.at is None:
        prose("there is nothing to undo: purges, imports and changes of many can be undone for a week")
        return
    what = f"the {found.operation} of {plural(found.done or found.left, 'memory', 'memories')} by {found.by}, {ago(found.at)}"
    prose(f"{what}, would be undone" if found.dry_run else f"{what}, is undone")
    if found.dry_run:
        remark("Do it with --yes.")


def reembed(scope: PlaceName = None) -> None:
    """Embed memories again after the embedder was changed. It can be interrupted, and resumes with the next call."""
    shared = shared_scope(scope)
    with connect() as caxton:
        done = _until_nothing_is_left(lambda: caxton.reembed_memory(shared=shared), "embedded")
    if current().json:
        emit({"embedded": done})
        return
    prose(f"{plural(done, 'memory', 'memories')} embedded again" if done else "all memories are embedded already")


def retention(
    scope: PlaceName = None,
    max_age: Annotated[
        str | None,
        typer.Option(metavar="TIME", help='Remove memories that were not changed for this long, such as "365d".'),
    ] = None,
    max_count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Keep this many of the newest memories.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Keep all memories.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Apply it now, not with the next daily run.")] = False,
) -> None:
    """Show or set how long, and how many, memories are kept. It is applied daily."""
    from caxton.domain.errors import UsageError
    from caxton.domain.quantities import parse_duration

    if off and (max_age is not None or max_count is not None):
        raise UsageError("--off says to remember everything", "give --off, or --max-age and --max-count")
    try:
        seconds = None if max_age is None else float(parse_duration(max_age))
    except (TypeError, ValueError):
        raise UsageError(f'--max-age "{max_age}" is not a time', 'write for example "90d" or "12h"') from None
    shared = shared_scope(scope)
    with connect() as caxton:
        if off or seconds is not None or max_count is not None:
            found = caxton.set_memory_retention(max_age=seconds, max_entities=max_count, shared=shared)
        else:
            found = caxton.memory_retention(shared=shared)
        removed = caxton.apply_memory_retention(shared=shared) if apply else None
    if current().json:
        emit(removed if removed is not None else found)
        return
    say(_retention_in_words(found))
    if removed is not None:
        prose(f"{plural(removed.count, 'memory', 'memories')} removed")
    elif found.outside:
        prose(f"{plural(found.outside, 'memory', 'memories')} will be removed with the next run, in the night (UTC)")
        remark("Do it now with --apply; it cannot be undone.")
    elif found.retention.max_age is not None or found.retention.max_entities is not None:
        prose("no memory is outside of it now")


def export(
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write here; else to stdout.")] = None,
    scope: PlaceName = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted export from FILE.partial.")] = False,
) -> None:
    """Write the workspace's memories as JSON lines, while agents keep working. An import computes vectors again."""
    from caxton.domain.errors import UsageError
    from caxton.domain.memory_export import resume_point

    shared = shared_scope(scope)
    if resume and out is None:
        raise UsageError("there is nothing to resume without a file", "give --out FILE")
    if out is not None:
        _check_writable(out)
    with connect() as caxton:
        origin = {"scope": "global"} if shared else {"scope": "workspace", "workspace": caxton.connection.workspace}
        if out is None:
            for line in _with_origin(caxton.export_memory(shared=shared), origin):
                say(line)
            return
        partial = out.with_name(out.name + ".partial")
        after: str | None = None
        kept = ""
        if resume and partial.exists():
            with partial.open(encoding="utf-8", newline="\n") as source:
                size, after = resume_point(source)
            kept = partial.read_text(encoding="utf-8")[:size]
            _check_origin(kept, origin, partial, out)
        count = kept.count('\n{"entity"')
        with partial.open("w", encoding="utf-8", newline="\n") as target:
            target.write(kept)
            lines = caxton.export_memory(shared=shared, after=after)
            for line in lines if after else _with_origin(lines, origin):
                target.write(line + "\n")
                count += line.startswith('{"entity"')
        partial.replace(out)
    if current().json:
        emit({"file": str(out), "memories": count})
        return
    prose(f"{plural(count, 'memory', 'memories')} written to {out}")


def _check_writable(out: Path) -> None:
    """Raises an error if no file can be written there."""
    import os

    from caxton.domain.errors import UsageError

    if out.is_dir():
        raise UsageError(f"--out {out}: that is a folder", f"name a file, such as {out / 'memory.ndjson'}")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}", "make it first, or name another file")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise UsageError(f"--out {out}: nothing can be written there", "name a file in a folder that you may write to")


def _with_origin(lines: Iterable[str], origin: dict[str, str]) -> Iterator[str]:
    """The lines of an export, with whose memories they are in the first; whoever brings them in need not know."""
    import json

    from caxton.domain.json_text import json_line

    for number, line in enumerate(lines):
        yield line if number else json_line(json.loads(line) | origin)


def _check_origin(kept: str, origin: dict[str, str], partial: Path, out: Path) -> None:
    """Raises an error if a part of an export is of other memories than those that it is to be gone on with."""
    import json
    import shlex

    from caxton.domain.errors import Hint, UsageError

    header: dict[str, str] = json.loads(kept.partition("\n")[0]) if kept else {}
    found = {name: header[name] for name in ("scope", "workspace") if name in header}
    if not found or found == origin:  # older ones do not say
        return
    of, wanted = (
        f"workspace {each['workspace']}" if "workspace" in each else "all workspaces" for each in (found, origin)
    )
    there = f"--workspace {shlex.quote(found['workspace'])}" if "workspace" in found else "--scope global"
    raise UsageError(
        f"{partial} has memories of {of}, not of {wanted}",
        Hint(text="go on with it", command=f"caxton memory export --out {shlex.quote(str(out))} --resume {there}"),
        "or take another FILE; without --resume it is started over",
    )


def bring_in(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What an export wrote.")],
    scope: PlaceName = None,
) -> None:
    """Import what an export wrote. If it is interrupted, run it again: memories that exist unchanged are skipped."""
    import hashlib

    from caxton.cli.reading import unreadable
    from caxton.domain.errors import InvalidInput
    from caxton.domain.memory_export import check_whole, pieces
    from caxton.views.memory import Imported

    shared = shared_scope(scope)
    digest = hashlib.sha256()
    try:
        with file.open("rb") as content:
            for block in iter(lambda: content.read(1 << 20), b""):
                digest.update(block)
        total = check_whole(_lines(file))
    except OSError as error:
        raise unreadable(str(file), error, "name what an export wrote") from None
    except UnicodeDecodeError:
        raise InvalidInput("this is not an export of memories: it is not text", "nothing was taken") from None
    operation = f"import_{digest.hexdigest()[:16]}"
    brought = Imported(entities=0, relations=0)
    with connect() as caxton:
        for piece, more in _with_more(pieces(lambda: _lines(file))):
            found = caxton.import_memory(piece.content, shared=shared, operation=operation, more=more)
            left_out = [each.model_copy(update={"line": piece.line_of_whole(each.line)}) for each in found.left_out]
            brought = Imported(
                entities=brought.entities + found.entities,
                relations=brought.relations + found.relations,
                skipped=brought.skipped + found.skipped,
                left_out=[*brought.left_out, *left_out],
            )
            _progress(f"{brought.entities + brought.skipped:,} of {total:,}")
    if current().json:
        emit(brought)
        return
    already = f", {brought.skipped:,} were there already" if brought.skipped else ""
    say(
        f"{plural(brought.entities, 'memory', 'memories')} and {plural(brought.relations, 'relation')} imported{already}"
    )
    if brought.left_out:
        complain(f"{plural(len(brought.left_out), 'relation')} left out, for a memory at one end is missing:")
        for each in brought.left_out[:SHOWN]:
            complain(f"  line {each.line:,}: {each.missing}")
        if len(brought.left_out) > SHOWN:
            complain("  … all of them with --json")
    if brought.entities or brought.relations:
        remark(f"It can be undone for a week: {command_there('caxton memory undo', scope)}")


def _with_more(pieces: "Iterable[Piece]") -> "Iterator[tuple[Piece, bool]]":
    """Each with whether others follow."""
    waiting: Piece | None = None
    for piece in pieces:
        if waiting is not None:
            yield waiting, True
        waiting = piece
    if waiting is not None:
        yield waiting, False


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8-sig", newline="\n") as source:  # editors on Windows put a byte order mark in front
        yield from source


def _show(found: "BulkPreview", would: str, did: str, hint: str) -> None:
    if current().json:
        emit(found)
        return
    prose(f"{plural(found.count, 'memory', 'memories')} {would if found.dry_run else did}")
    for example in found.examples:
        prose(f"  {shorten(on_one_line(example), 90)}")
    if found.dry_run and found.count:
        remark(hint)


def _until_nothing_is_left(call: Callable[[], Any], word: str) -> int:
    done = 0
    while True:
        found = call()
        done += found.done
        if not found.left or not found.done:
            return done
        _progress(f"{done:,} {word}, {found.left:,} left")


def _progress(text: str) -> None:
    if not current().json:
        progress(text)


def _retention_in_words(found: "RetentionView") -> str:
    from caxton.domain.quantities import format_duration

    limits: list[str] = []
    if found.retention.max_age is not None:
        days = found.retention.max_age / 86_400
        length = plural(int(days), "day") if days == int(days) else format_duration(found.retention.max_age)
        limits.append(f"what was changed within {length}")
    if found.retention.max_entities is not None:
        limits.append(f"the newest {found.retention.max_entities:,}")
    return f"remembered is {' and '.join(limits)}" if limits else "everything is remembered"
