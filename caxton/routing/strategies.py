"""Strategies: how one of several able agents is chosen."""

import zlib
from collections.abc import Mapping, Sequence

from caxton.domain.executions import RoutingStrategy
from caxton.routing.index import Provider


def choose(strategy: RoutingStrategy, providers: Sequence[Provider], *, key: str, load: Mapping[str, int]) -> Provider:
    """One of `providers` (not empty; the newest capability version first).

    Deterministic takes the first: the newest version, then the first name. LoadBalanced takes, among the newest version,
    the one with the least work in progress; `key` decides ties, so that an idle set shares the work. Stochastic draws by
    weight, the draw being a hash of `key`, so that a retry draws the same.
    """
    if len(providers) == 1 or strategy is RoutingStrategy.DETERMINISTIC:
        return providers[0]
    draw = zlib.crc32(key.encode())
    if strategy is RoutingStrategy.STOCHASTIC:
        return _draw(providers, draw / 2**32)
    newest = [provider for provider in providers if provider.version == providers[0].version]
    least = min(load.get(provider.agent, 0) for provider in newest)
    idle = [provider for provider in newest if load.get(provider.agent, 0) == least]
    return idle[draw % len(idle)]


def _draw(providers: Sequence[Provider], fraction: float) -> Provider:
    mark = fraction * sum(provider.weight for provider in providers)
    for provider in providers:
        mark -= provider.weight
        if mark < 0:
            return provider
    return providers[-1]
