"""Host functions of agents: the interface `caxton:agent/state`. Like those of `host`, they never raise."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from caxton.adapters.sandbox.host import active_run
from caxton.domain.agent_modules import AgentState

if TYPE_CHECKING:
    from wasmtime.component import Linker

T = TypeVar("T")

_logger = logging.getLogger(__name__)


def _with_state(work: Callable[[AgentState], T], otherwise: T) -> T:
    """What `work` does with what the agent of this thread's run keeps."""
    run = active_run()
    if run is None or run.state is None:
        return otherwise
    try:
        run.charge()
        return work(run.state)
    except Exception as error:  # by name only: the text may be a user's data
        _logger.error("a host function failed: %s", type(error).__name__)
        return otherwise


def add_state(linker: "Linker") -> None:
    """Defines the interface `caxton:agent/state`."""

    def get(_store: Any, key: str) -> str | None:
        return _with_state(lambda state: state.values.get(key), None)

    def put(_store: Any, key: str, value: str) -> str | None:
        return _with_state(lambda state: state.set(key, value), "nothing is kept here")  # None is ok, a text is err

    def delete(_store: Any, key: str) -> None:
        _with_state(lambda state: state.delete(key), None)

    def keys(_store: Any) -> list[str]:
        return _with_state(lambda state: sorted(state.values), [])

    with linker.root() as root, root.add_instance("caxton:agent/state@0.1.0") as state:
        state.add_func("get", get)
        state.add_func("set", put)
        state.add_func("delete", delete)
        state.add_func("keys", keys)
