"""Tools that may not, cannot or do not."""

from caxton.domain.errors.base import CaxtonError
from caxton.domain.errors.turns import ExecutionFailed
from caxton.domain.refusals import Refusals
from caxton.domain.usage import ToolUsage


class ToolError(ExecutionFailed):
    """`details` has `tool`, `function` and, for limits, `limit` and `value`."""

    code = "tool_failed"
    title = "The tool failed"

    usage: ToolUsage | None = None
    """What the call used until it failed, if it ran; not part of the report."""
    log: tuple[str, ...] = ()
    """What the tool logged until it failed; not part of the report, because it may hold a user's data."""
    refused: Refusals | None = None
    """What it asked for until it failed and may not have; not part of the report."""


class ToolNotAllowed(ToolError):
    code = "tool_not_allowed"
    status = 403
    title = "The agent's allowlist does not name the tool"


class ToolNotGranted(ToolError):
    """`details["missing"]` lists what the tool requests and nobody has granted; the hint has the command that grants it."""

    code = "tool_not_granted"
    status = 403
    exit_code = 6
    title = "The tool needs what no operator has granted"


class NotGrantable(CaxtonError):
    """`details["problems"]` says of each right why nobody may grant it."""

    code = "not_grantable"
    status = 403
    exit_code = 6
    title = "No tool may be granted this"


class ToolUnavailable(ToolError):
    code = "tool_unavailable"
    status = 503
    title = "The tool is not deployed, or is stopped"


class ToolBreakerOpen(ToolUnavailable):
    """`details["alternatives"]` names other tools that the agent may use, `retry_after` the seconds until it is tried again."""

    code = "tool_breaker_open"
    title = "The tool keeps failing, and rests"


class ToolQuarantined(ToolUnavailable):
    """`details["alternatives"]` names other tools that the agent may use."""

    code = "tool_quarantined"
    title = "The tool is quarantined until an administrator releases it"


class ToolInputInvalid(ToolError):
    code = "tool_input_invalid"
    status = 422
    exit_code = 3
    title = "The arguments do not fit the tool's schema"


class CallInvalid(ToolError):
    """The model sees it as the call's result, and can correct it."""

    code = "call_invalid"
    status = 422
    title = "The model called what it cannot call, or with arguments that cannot be read"


class ToolMemoryExceeded(ToolError):
    code = "tool_memory_exceeded"
    title = "The tool wanted more memory than allowed"


class ToolFuelExhausted(ToolError):
    code = "tool_fuel_exhausted"
    title = "The tool used more CPU than allowed"


class ToolTimeout(ToolError):
    code = "tool_timeout"
    status = 504
    title = "The tool ran longer than allowed"


class ToolMessageTooLarge(ToolError):
    code = "tool_message_too_large"
    title = "The tool's arguments or result are larger than allowed"


class ToolUnreachable(ToolError):
    """Of a tool outside of the sandbox: its server was not there, or went away before it had answered."""

    code = "tool_unreachable"
    status = 502
    title = "The tool's server cannot be reached, or went away in the middle of a call"


class ToolSurfaceChanged(ToolError):
    """`details` has the hashes `pinned` and `found`, and `changes`: the functions that are new, gone or different."""

    code = "tool_surface_changed"
    status = 409
    title = "The tool's server offers other functions than when it was deployed, and nobody has accepted them"


class ToolTrapped(ToolError):
    code = "tool_trapped"
    title = "The tool crashed in its sandbox"


class ToolAnswerInvalid(ToolError):
    code = "tool_answer_invalid"
    title = "The tool's answer is not a valid MCP result"


class InvalidModule(CaxtonError):
    code = "invalid_module"
    status = 422
    exit_code = 3
    title = "The file is not a WebAssembly module that Caxton can run as a tool"


class AgentModuleError(ExecutionFailed):
    """`details` has `agent` and, for limits, `limit` and `value`."""

    code = "agent_module_failed"
    title = "The agent's component failed"

    usage: ToolUsage | None = None
    """What the call used until it failed, if it ran; not part of the report."""
    log: tuple[str, ...] = ()
    """What the component logged until it failed; not part of the report, because it may hold a user's data."""
    refused: Refusals | None = None
    """What it asked for and may not have; not part of the report."""


class AgentUnavailable(AgentModuleError):
    code = "agent_module_unavailable"
    status = 503
    title = "The agent's component cannot be loaded"


class AgentNotGranted(AgentModuleError):
    """`details["missing"]` lists what the agent requests and nobody has granted; the hint has the command that grants it."""

    code = "agent_not_granted"
    status = 403
    exit_code = 6
    title = "The agent's component needs what no operator has granted"


class AgentMemoryExceeded(AgentModuleError):
    code = "agent_memory_exceeded"
    title = "The agent's component wanted more memory than allowed"


class AgentFuelExhausted(AgentModuleError):
    code = "agent_fuel_exhausted"
    title = "The agent's component used more CPU than allowed"


class AgentTimeout(AgentModuleError):
    code = "agent_timeout"
    status = 504
    title = "The agent's component ran longer than allowed"


class AgentMessageTooLarge(AgentModuleError):
    code = "agent_message_too_large"
    title = "What the agent's component gets or answers is larger than allowed"


class AgentTrapped(AgentModuleError):
    code = "agent_trapped"
    title = "The agent's component crashed in its sandbox"


class AgentAnswerInvalid(AgentModuleError):
    code = "agent_answer_invalid"
    title = "The answer of the agent's component is none that Caxton can read"
