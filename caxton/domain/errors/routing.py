"""Nobody can do the work."""

from caxton.domain.errors.base import CaxtonError


class BudgetUsedUp(CaxtonError):
    """It limits tokens, cost or requests; `caxton budgets list` shows what is used of it."""

    code = "budget_exceeded"
    status = 429
    exit_code = 5
    title = "The budget is used up"


class RoutingFailed(CaxtonError):
    """`details` has `capability`, `reason`, `similar` (capabilities that do exist)."""

    code = "routing_failed"
    status = 503
    exit_code = 4
    title = "No agent could be chosen"


class NoCapableAgent(RoutingFailed):
    code = "no_capable_agent"
    status = 404
    title = "No agent offers the capability"


class AllAgentsUnavailable(RoutingFailed):
    code = "all_agents_unavailable"
    status = 503
    retryable = True
    title = "Agents offer the capability, but none of them takes work now"


class CircuitBreakerOpen(RoutingFailed):
    """`details["alternatives"]` has agents that offer the same and take work; `retry_after` says when to come back."""

    code = "circuit_breaker_open"
    status = 503
    retryable = True
    title = "What is asked for keeps failing, and rests"
