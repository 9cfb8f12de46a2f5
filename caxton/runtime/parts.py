"""The parts that API and worker of one process share, built from settings."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from caxton.adapters import templates
from caxton.adapters.archive import FileArchive
from caxton.adapters.blobs import FileBlobs
from caxton.adapters.definitions import DefinitionReader
from caxton.adapters.mcp.servers import McpServers
from caxton.adapters.models import Models
from caxton.adapters.remote_agents import HttpRemoteAgents
from caxton.adapters.sandbox.guard import Guard
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.adapters.store.database import Database, InlineReads
from caxton.adapters.store.migrate import migrate_apart
from caxton.adapters.streams import LocalStream, PostgresStream
from caxton.adapters.tools import AllTools
from caxton.domain.records import Records
from caxton.governance.breakers import CircuitBreakers
from caxton.governance.flow import Flow
from caxton.memory.memories import Memories
from caxton.routing.directory import Directory
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.fast_path_ports import circuit_breakers, flow_rules, open_database
from caxton.runtime.guard import base_limits, build_guard, standing_grants
from caxton.runtime.memory import build_backend, build_embedder, memory_lacks
from caxton.runtime.presence import watch, worker_name
from caxton.runtime.settings import Settings
from caxton.service.disk_guard import DiskGuard
from caxton.service.fast_path import Accept
from caxton.turns.accept import accept
from caxton.turns.step import StepPorts


@dataclass
class Parts:
    """What API and worker of one process share."""

    settings: Settings
    database: Database
    near: Records
    """The same, for reads of a turn."""
    blobs: FileBlobs
    archive: FileArchive
    guard: Guard
    sandbox: WasmtimeSandbox
    mcp_servers: McpServers
    models: Models
    stream: LocalStream | PostgresStream
    directory: Directory
    breakers: CircuitBreakers
    disk: DiskGuard
    memories: Memories | None
    flow: Flow
    reader: DefinitionReader = field(default_factory=DefinitionReader)

    @property
    def tools(self) -> AllTools:
        """Tools of both kinds."""
        return AllTools(self.sandbox, self.mcp_servers)

    async def open(self) -> None:
        """Begins to hear of turns in other processes."""
        if isinstance(self.stream, PostgresStream):
            self.stream.carry_news(self.database.log_changes)
            await self.stream.start()

    async def close(self) -> None:
        """Gives everything up."""
        await self.flow.aclose()
        if self.memories is not None:
            self.memories.close()
        await self.models.aclose()
        if isinstance(self.stream, PostgresStream):
            await self.stream.aclose()
        await asyncio.to_thread(self.mcp_servers.close)
        await asyncio.to_thread(self.sandbox.close)
        await asyncio.to_thread(self.reader.close)
        self.database.close()


def build_parts(settings: Settings, folder: DataFolder) -> Parts:
    """Opens the database (migrating it) and prepares everything else.

    Raises:
        StoreUnavailable: the database does not answer, or is of a newer version.
    """
    database = open_database(settings, folder)
    migrate_apart(database)
    directory = Directory(standing=standing_grants(settings))
    blobs = FileBlobs(folder.blobs)
    guard = build_guard(settings, folder)
    near = InlineReads(database) if database.is_sqlite else database
    stream = LocalStream() if database.is_sqlite else PostgresStream(database.engine.url)
    return Parts(
        flow=Flow(database, stream, worker_name(), watch),
        guard=guard,
        settings=settings,
        database=database,
        near=near,
        blobs=blobs,
        archive=FileArchive(settings.retention.archive or folder.path / "archive"),
        sandbox=WasmtimeSandbox(
            blobs,
            folder.cache / "tools",
            size=settings.tools.sandboxes,
            allowed_paths=[Path(path) for path in settings.tools.allowed_paths],
            guard=guard,
            compile_timeout=settings.tools.compile_timeout,
        ),
        mcp_servers=McpServers(guard, settings.tools.mcp_idle),
        models=Models(settings.models, templates),
        stream=stream,
        directory=directory,
        breakers=circuit_breakers(settings, near, directory),
        disk=DiskGuard(
            folder.path, settings.limits.free_disk, settings.limits.data_size, settings.limits.customer_size
        ),
        memories=_memories(settings, folder, database),
    )


def _memories(settings: Settings, folder: DataFolder, database: Database) -> Memories | None:
    if not settings.memory.enabled:
        return None
    if lacking := memory_lacks(settings.memory):
        if settings.memory.model_fields_set:  # somebody counts on it
            raise lacking
        return None
    embedder = build_embedder(settings.memory.embedder)
    root = folder.path / "memory"
    used_before = any(root.glob("[!.]*/*"))  # somebody's place; else nothing is loaded before memory is used
    found = Memories(settings.memory.backend, build_backend(settings.memory, root, embedder), embedder, database)
    if used_before:
        found.warm()
    return found


def step_ports(parts: Parts) -> StepPorts:
    """The world, as steps see it."""
    return StepPorts(
        records=parts.near,
        blobs=parts.blobs,
        sandbox=parts.tools,
        schemas=parts.sandbox.checks,
        models=parts.models,
        templates=templates,
        stream=parts.stream,
        directory=parts.directory,
        breakers=parts.breakers,
        remote_agents=HttpRemoteAgents(parts.guard),
        memories=parts.memories,
        base_limits=base_limits(parts.settings),
        flow=parts.flow,
        flow_rules=flow_rules(parts.settings),
    )


def accept_here(parts: Parts) -> Accept:
    """Accepts requests in this process."""
    return partial(accept, step_ports(parts))
