"""What a tool's MCP server offers: as it was when it was deployed, as it is now, and accepting the difference."""

from collections.abc import Sequence
from datetime import UTC, datetime

from caxton.domain.errors import Hint, InvalidState, ToolSurfaceChanged
from caxton.domain.events.tools import ToolSurfaceAccepted
from caxton.domain.grants import Rights, for_any_call
from caxton.domain.ids import Digest
from caxton.domain.ports import ToolSandbox
from caxton.domain.records import Records, Transaction
from caxton.domain.surfaces import differences, surface_of, told
from caxton.domain.tools import ToolFunction, ToolVersion
from caxton.recording.journal import note
from caxton.routing.directory import Directory
from caxton.service.changes import request_change
from caxton.service.context import Caller
from caxton.service.tools import find_tool
from caxton.views.tools import SurfaceView


class ToolSurfaces:
    """Use cases on the surfaces of MCP servers."""

    def __init__(self, records: Records, tools: ToolSandbox, directory: Directory) -> None:
        """Keep surfaces in `records`; `tools` asks servers, with the rights that `directory` knows."""
        self.records = records
        self.tools = tools
        self.directory = directory

    async def show(self, caller: Caller, name: str) -> SurfaceView:
        """Asks the tool's server what it offers now, and compares.

        Raises:
            NotFound: there is no such tool.
            InvalidState: it runs in a sandbox, so it offers what its module does.
            ToolError: its server cannot be asked.
        """
        version, found = await self._ask(caller, name)
        return _view(version, found)

    async def accept(self, caller: Caller, name: str, surface: Digest) -> SurfaceView:
        """Makes what the server offers now what the tool offers, if it is what the caller has seen.

        Args:
            caller: who accepts.
            name: the tool.
            surface: the hash of what is accepted, as :meth:`show` gave it.

        Raises:
            ToolSurfaceChanged: the server offers something else by now.
        """
        version, found = await self._ask(caller, name)
        now, view = surface_of(found), _view(version, found)
        if now != surface:
            raise ToolSurfaceChanged(
                f'the server of "{name}" offers something else than what was looked at',
                Hint(text="look again", command=f"caxton tool accept {name}"),
                details={"tool": name, "pinned": view.pinned, "found": now, "changes": told(view.changes)},
            )
        if not view.changes:
            return view
        await request_change(self.records, caller, "tool.accept", name, before=view.pinned, after=now)

        def keep(transaction: Transaction) -> bool:
            component, known = find_tool(transaction, caller.scope, name)
            if component.digest != version.digest or surface_of(known.functions) != view.pinned:
                return False  # another deployment or another operator was quicker
            transaction.put_functions(caller.scope, known.model_copy(update={"functions": [*found]}))
            transaction.bump_generation(caller.scope)
            accepted = ToolSurfaceAccepted(tool=name, pinned=view.pinned, accepted=now, changes=told(view.changes))
            event = note(caller.scope, accepted, name, now, actor=caller.actor, deployment_id=component.deployment_id)
            transaction.add_events(caller.scope, [event])
            return True

        if not await self.records.write(keep):
            raise InvalidState(
                f'the tool "{name}" was deployed or accepted again meanwhile',
                Hint(text="look again", command=f"caxton tool accept {name}"),
            )
        return view

    async def _ask(self, caller: Caller, name: str) -> tuple[ToolVersion, Sequence[ToolFunction]]:
        def read(transaction: Transaction) -> tuple[ToolVersion, Rights]:
            _, version = find_tool(transaction, caller.scope, name)
            grants = self.directory.registry(transaction, caller.scope).grants.get(name, ())
            return version, for_any_call(grants, datetime.now(UTC), version.digest)

        version, rights = await self.records.read(read)
        if version.manifest.is_sandboxed:
            raise InvalidState(
                f'"{name}" runs in a sandbox, so it offers what its module does',
                "only ordinary MCP servers change by themselves; another module is a deployment",
                details={"tool": name},
            )
        return version, await self.tools.describe(caller.scope.customer, version.manifest, version.files, rights)


def _view(version: ToolVersion, found: Sequence[ToolFunction]) -> SurfaceView:
    return SurfaceView(
        tool=version.name,
        pinned=surface_of(version.functions),
        found=surface_of(found),
        changes=differences(version.functions, found),
    )
