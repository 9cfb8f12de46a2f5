"""What a call gets: what its manifest requests, as far as it is granted and no rule of the server is against it."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from caxton.adapters.sandbox import folders
from caxton.adapters.sandbox.fetch import NetworkGrants, Refused, preload
from caxton.adapters.sandbox.folders import Folder
from caxton.adapters.sandbox.guard import Guard
from caxton.adapters.sandbox.host import Grants, Run
from caxton.domain.errors import Hint, InvalidModule, ToolError, ToolNotGranted
from caxton.domain.grants import GrantedFolder, Missing, Rights, granted_limits, missing, normal_origin
from caxton.domain.ids import Digest
from caxton.domain.ports import BlobStore
from caxton.domain.tools import FileGrant, ToolLimits, ToolManifest

Work = Callable[..., Awaitable[Any]]
"""Runs a function with arguments off the event loop."""


@dataclass(frozen=True)
class Granting:
    """Settles what calls get, by the rules of one server."""

    blobs: BlobStore
    unpacked: Path
    """Folder below which bundled folders are unpacked."""
    allowed: Sequence[Path]
    """Folders of this machine that tools may be granted at all."""
    environment: Mapping[str, str]
    guard: Guard
    work: Work

    def limits(self, manifest: ToolManifest, rights: Rights) -> ToolLimits:
        """The limits of a call."""
        return self.guard.limits(granted_limits(manifest, rights, self.guard.base))

    def missing(self, manifest: ToolManifest, rights: Rights) -> Missing:
        """What the manifest requests and the call does not get."""
        return missing(manifest, rights, self.guard.base)

    async def grants(
        self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest], rights: Rights
    ) -> Grants:
        """All that a call may reach.

        Raises:
            InvalidModule: the manifest asks for what there is not, or in a way that cannot be.
        """
        permissions = manifest.permissions
        if not (permissions.network or permissions.environment or permissions.files):
            return Grants(check=self.guard.check_address)
        if permissions.network and manifest.form == "command":
            raise InvalidModule(
                "permissions.network is for components: a command has no sockets",
                "remove the request, or build the tool as a component and use host.fetch",
            )
        folders.check_places(manifest)
        found: list[Folder] = []
        withheld: dict[PurePosixPath, GrantedFolder] = {}
        for request in permissions.files:
            if request.is_bundled:
                inside = folders.bundled_files(request, files)
                found.append(Folder(PurePosixPath(request.at), await self._unpacked(customer, inside)))
            elif rights.gives_folder(request.path, write=False):
                found.append(self._host_folder(request, rights))
            else:
                withheld[PurePosixPath(request.at)] = GrantedFolder(path=request.path, write=request.write)
        problems = {
            name: self.guard.variable_problem(name, self.environment.get(name)) for name in permissions.environment
        }
        refused = {name: problem for name, problem in problems.items() if problem is not None}
        granted = (frozenset(permissions.environment) & rights.environment) - set(refused)
        return Grants(
            network=await self._network(permissions.network, rights),
            environment={name: self.environment[name] for name in granted if name in self.environment},
            granted=granted,
            refused=refused,
            requested=frozenset(permissions.environment),
            folders=found,
            withheld=withheld,
            check=self.guard.check_address,
        )

    async def _network(self, origins: Sequence[str], rights: Rights) -> NetworkGrants:
        try:
            granted = [origin for origin in origins if normal_origin(origin) in rights.network]
            network = NetworkGrants.of(granted, origins)
        except (Refused, ValueError) as error:
            raise InvalidModule(f"permissions.network: {error}") from None
        if network.origins:
            await self.work(preload, network)
        return network

    def _host_folder(self, request: FileGrant, rights: Rights) -> Folder:
        write = request.write and rights.gives_folder(request.path, write=True)
        folder = folders.host_folder(request.model_copy(update={"write": write}), self.allowed)
        problem = self.guard.folder_problem(folder.path)
        if problem is not None:
            raise InvalidModule(f'no tool may be granted "{request.path}": {problem}', details={"path": request.path})
        # A link inside of what is granted may lead elsewhere: then it is another folder that would be used.
        roots = (os.path.realpath(grant.path) for grant in rights.files if grant.write or not write)
        if not any(folder.path.is_relative_to(root) for root in roots):
            raise InvalidModule(f'"{request.path}" leads outside of what is granted', details={"path": request.path})
        return folder

    async def _unpacked(self, customer: str, files: Mapping[str, Digest]) -> Path:
        """The folder with these files, unpacked below the cache folder when it is first needed."""
        path = self.unpacked / folders.listing_digest(files)
        if not path.is_dir():
            contents = {name: await self.blobs.get(customer, digest) for name, digest in files.items()}
            await self.work(folders.write_folder, path, contents)
        return path


def not_granted(subject: str, details: dict[str, Any], tool: str, run: Run) -> ToolNotGranted | None:
    """The error of a call that failed because nobody has granted what it needs; None if that is not why."""
    if not run.needed:
        return None
    needed = run.needed
    lacking = Missing(
        network=tuple(sorted(origin for kind, origin in needed if kind == "network")),
        environment=tuple(sorted(name for kind, name in needed if kind == "environment")),
        files=tuple(folder for folder in run.grants.withheld.values() if ("files", folder.path) in needed),
    )
    return ToolNotGranted(
        f"{subject} needs what nobody has granted: {', '.join(lacking.told())}",
        Hint(text="an operator grants it", command=lacking.command(tool)),
        details={**details, "missing": lacking.told()},
    )


def explain_limit(error: ToolError, manifest: ToolManifest, lacking: Missing) -> None:
    """Adds to an error of a limit that the manifest asks for more and how to grant it, if so."""
    limit = error.details.get("limit")
    if not isinstance(limit, str) or limit not in lacking.limits:
        return
    command = Missing(limits={limit: lacking.limits[limit]}).command(manifest.name)
    text = f"{manifest.name} requests more, which nobody has granted: {command}"
    error.hints.insert(0, Hint(text=text, command=command))
