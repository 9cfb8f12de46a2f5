"""The routing decision: 100 capabilities, each offered by five agents."""

import time

from benchmarks.report import Figure, median_of, percentile, print_figures, print_machine
from caxton.domain.agents import AgentSpec, AgentState
from caxton.domain.executions import RoutingStrategy, Target
from caxton.domain.ids import Digest
from caxton.routing.decision import route
from caxton.routing.index import DeployedAgent, build_index

DECISIONS = 20_000


def agents() -> list[DeployedAgent]:
    """500 running agents."""
    return [
        DeployedAgent(
            AgentSpec.model_validate(
                {
                    "name": f"agent-{number}",
                    "version": "1.0.0",
                    "capabilities": [{"name": f"capability-{number % 100}", "version": f"1.{number // 100}.0"}],
                    "model": "scripted",
                }
            ),
            Digest(f"{number:064x}"),
            AgentState.RUNNING,
        )
        for number in range(500)
    ]


def figures() -> list[Figure]:
    """Latency and rate of decisions by strategy."""
    index = build_index(1, agents())
    load = {f"agent-{number}": number % 7 for number in range(500)}
    found: list[Figure] = []
    for strategy in RoutingStrategy:
        for version_range in ("*", "^1.0.0"):
            targets = [Target(capability=f"capability-{n % 100}", version_range=version_range) for n in range(100)]

            def decide(strategy: RoutingStrategy = strategy, targets: list[Target] = targets) -> list[float]:
                times: list[float] = []
                for number in range(DECISIONS):
                    started = time.perf_counter()
                    route(index, targets[number % 100], strategy, key=f"x_{number}", load=load)
                    times.append((time.perf_counter() - started) * 1e6)
                return times

            decide()
            runs = [decide() for _ in range(5)]
            name = f"{strategy}, range {version_range}"
            found.append(Figure(f"{name}: p50", sorted(percentile(run, 0.5) for run in runs)[2], "µs", 50))
            found.append(Figure(f"{name}: p99", sorted(percentile(run, 0.99) for run in runs)[2], "µs", 100))

    def whole_run() -> float:
        target = Target(capability="capability-7")
        started = time.perf_counter()
        for number in range(DECISIONS):
            route(index, target, RoutingStrategy.LOAD_BALANCED, key=f"x_{number}", load=load)
        return DECISIONS / (time.perf_counter() - started)

    found.append(
        Figure("decisions a second, LoadBalanced", median_of(5, whole_run), "1/s", 100_000, higher_is_better=True)
    )
    return found


if __name__ == "__main__":
    print_machine()
    print_figures("routing decision", figures())
