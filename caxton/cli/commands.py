"""All commands: where each is written and what it does, in a line.

Standard library only, for `caxton --help` reads nothing else.
"""

from dataclasses import dataclass

from caxton import __version__


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command, or a group of commands, of the first level."""

    name: str
    module: str
    """Module in `caxton.cli`; its `app` is the command, or `app_NAME` where several share a module."""
    summary: str
    acknowledgement: str = ""
    """What a terminal shows at once while the command still loads."""

    @property
    def attribute(self) -> str:
        return "app" if self.module == self.name or self.module == f"{self.name}s" else f"app_{self.name}"


SECTIONS: dict[str, list[CommandEntry]] = {
    "Run the server": [
        CommandEntry("serve", "serve", "Run everything here: API, worker and workflow engine"),
        CommandEntry("api", "serve", "Run the API alone, against a Temporal service"),
        CommandEntry("worker", "serve", "Run a worker alone, against a Temporal service"),
        CommandEntry("health", "health", "Show the health of the server's components", "Asking the server"),
        CommandEntry("config", "config", "Show the settings and where each comes from", "Reading the settings"),
        CommandEntry("encryption", "encryption", "Keys that encrypt the workflow engine's payloads"),
    ],
    "Build and deploy": [
        CommandEntry("init", "init", "Make an agent from a template", "Opening the templates"),
        CommandEntry(
            "import", "importing", "Turn agent files of other programs into this workspace's", "Reading the files"
        ),
        CommandEntry("validate", "validate", "Check the workspace's files", "Reading the workspace"),
        CommandEntry("status", "status", "Show what differs from the server", "Comparing with the server"),
        CommandEntry("deploy", "deploy", "Deploy the workspace to the server", "Reading the workspace"),
        CommandEntry("rollout", "rollouts", "Show and steer the rollout of new versions", "Asking the server"),
        CommandEntry("rollback", "deployments", "Undo a deployment", "Asking the server"),
        CommandEntry("deployments", "deployments", "List past deployments, show one", "Asking the server"),
    ],
    "Talk to agents": [
        CommandEntry("ask", "ask", "Ask for a capability, or one agent, and get a reply", "Asking"),
        CommandEntry("chat", "chat", "Hold a conversation", "Connecting"),
        CommandEntry("conversation", "conversations", "List, show, end and delete conversations", "Asking the server"),
        CommandEntry("execution", "executions", "Show, await and cancel turns", "Asking the server"),
        CommandEntry("fork", "fork", "Go on from a recorded step of a turn, as a new turn", "Asking the server"),
        CommandEntry("mcp", "mcp", "Agents as tools of Claude, editors and other MCP clients"),
        CommandEntry("trace", "trace", "Show what happened in a turn, step by step", "Asking the server"),
    ],
    "Govern": [
        CommandEntry("approvals", "approvals", "Decide on what waits for a person", "Asking the server"),
        CommandEntry("breaker", "breakers", "List and reset circuit breakers", "Asking the server"),
        CommandEntry("budgets", "budgets", "Limit what may be used", "Asking the server"),
        CommandEntry("metrics", "metrics", "Show and define metrics over events", "Asking the server"),
        CommandEntry("views", "views", "Show views of the event log", "Asking the server"),
        CommandEntry("storage", "storage", "Show how much space data takes", "Asking the server"),
        CommandEntry("retention", "retention", "Show and set how long data is kept", "Asking the server"),
        CommandEntry("events", "events", "Read, follow, verify and export the event log", "Asking the server"),
    ],
    "Manage agents and tools": [
        CommandEntry("agent", "agents", "List, show, start and stop agents", "Asking the server"),
        CommandEntry("schedule", "schedules", "Requests by the clock: list, pause, run, backfill", "Asking the server"),
        CommandEntry("trigger", "triggers", "Webhooks by which other systems ask agents", "Asking the server"),
        CommandEntry("capabilities", "capabilities", "List what agents offer", "Asking the server"),
        CommandEntry("tool", "tools", "Add, make, deploy, list, show and call tools; their logs", "Asking the server"),
        CommandEntry("memory", "memory", "Memories of agents: search, edit, remove, export", "Asking the server"),
        CommandEntry("key", "keys", "Make and revoke API keys", "Asking the server"),
        CommandEntry("role", "roles", "List and define roles: what keys may do", "Asking the server"),
    ],
    "More": [
        CommandEntry("completion", "completion", "Complete commands and names in the shell"),
        CommandEntry("version", "version", "Show the versions of Caxton and of the server", "Asking the server"),
    ],
}

COMMANDS: dict[str, CommandEntry] = {entry.name: entry for entries in SECTIONS.values() for entry in entries}

COMMON_OPTIONS = [
    ("--json", "Machine-readable output; errors too, on stderr"),
    ("--workspace NAME", "Workspace on the server"),
    ("--url URL", "The server to talk to"),
    ("--config FILE", "Settings file instead of the nearest caxton.toml"),
    ("--debug", "Tracebacks and request ids with errors"),
    ("-h, --help", "Help for a command"),
]


def overview() -> str:
    """What `caxton --help` shows, in the width of the terminal."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size((100, 24)).columns

    def entry(name: str, text: str) -> str:
        return textwrap.fill(text, max(40, width), initial_indent=f"  {name:<18}", subsequent_indent=" " * 20)

    lines = [f"Caxton {__version__}: AI agents as durable workflows", "", "Usage: caxton COMMAND [OPTIONS]", ""]
    for title, entries in SECTIONS.items():
        lines.append(f"{title}:")
        lines += [entry(each.name, each.summary) for each in entries]
        lines.append("")
    lines.append("Options of every command:")
    lines += [entry(option, help_text) for option, help_text in COMMON_OPTIONS]
    lines += [
        "",
        "First steps:",
        "  caxton serve",
        "  and in another terminal: caxton init, then caxton deploy",
    ]
    return "\n".join(lines) + "\n"
