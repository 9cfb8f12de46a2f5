"""The typed Python client: :class:`Caxton` for ordinary code, :class:`AsyncCaxton` for asyncio.

with Caxton() as caxton:
    print(caxton.ask("How did sales develop?", capability="analyze-data").reply)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caxton.client.async_client import AsyncCaxton
    from caxton.client.sync_client import Caxton

__all__ = ["AsyncCaxton", "Caxton"]


def __getattr__(name: str) -> Any:
    """Imports the client that is asked for: the other one need not load."""
    if name == "Caxton":
        from caxton.client.sync_client import Caxton

        return Caxton
    if name == "AsyncCaxton":
        from caxton.client.async_client import AsyncCaxton

        return AsyncCaxton
    raise AttributeError(name)
