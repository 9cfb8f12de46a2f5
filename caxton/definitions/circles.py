"""Circles in a graph."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping

_MOST = 100
"""Circles that are reported; whoever has more fixes these first."""


def find_circles(followers: Mapping[str, Collection[str]]) -> Iterator[tuple[str, ...]]:
    """The shortest circle through each node that lies on one, each circle once, beginning with its smallest name."""
    graph = _on_circles(followers)
    seen: set[tuple[str, ...]] = set()
    for start in sorted(graph):
        circle = _shortest(graph, start)
        if circle is None:
            continue
        first = circle.index(min(circle))
        circle = (*circle[first:], *circle[:first])
        if circle not in seen:
            seen.add(circle)
            yield circle
            if len(seen) == _MOST:
                return


def _on_circles(followers: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """The graph without the nodes that nothing follows, again and again: what is left leads to circles."""
    graph = {node: {next_node for next_node in nexts if next_node in followers} for node, nexts in followers.items()}
    leading: dict[str, set[str]] = {node: set() for node in graph}
    for node, nexts in graph.items():
        for next_node in nexts:
            leading[next_node].add(node)
    ends = [node for node, nexts in graph.items() if not nexts]
    while ends:
        end = ends.pop()
        del graph[end]
        for node in leading[end]:
            graph[node].discard(end)
            if not graph[node]:
                ends.append(node)
    return graph


def _shortest(graph: Mapping[str, Collection[str]], start: str) -> tuple[str, ...] | None:
    """The shortest way from `start` back to it, without the return."""
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        for next_node in sorted(graph[node]):
            if next_node == start:
                way = [node]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return tuple(reversed(way))
            if next_node not in came_from:
                came_from[next_node] = node
                waiting.append(next_node)
    return None
