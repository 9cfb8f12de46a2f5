"""`[alerts]`, `[health]` and `[deployments]` of the server's settings: who is told when something is taken out of service, when
agents are, and how old versions drain."""

from pydantic import Field

from caxton.domain.drains import DRAIN_TIME, LONGEST_DRAIN
from caxton.domain.ids import Name
from caxton.domain.quantities import Duration
from caxton.runtime.settings_sections import Integer, Section


class AlertsSettings(Section):
    """`[alerts]`."""

    channels: list[Name] = Field(
        default=[],
        max_length=20,
        description="Channels (of [channels]) that are told when a tool is quarantined or an agent is stopped as unhealthy.",
    )


class DeploymentsSettings(Section):
    """`[deployments]`: what becomes of versions that were replaced."""

    drain: Duration = Field(
        default=DRAIN_TIME,
        ge=0,
        le=LONGEST_DRAIN,
        description='How long conversations stay on the version that they began with once it is replaced, such as "7d"; '
        "after that they go on with the live version.",
    )


class HealthSettings(Section):
    """`[health]`: looking after agents."""

    every: Duration = Field(
        default=10.0, ge=0.5, le=3600, description='How often the health of agents is checked, such as "10s".'
    )
    restarts: Integer = Field(
        default=3, ge=0, le=100, description="How often an unhealthy agent is restarted before it is stopped."
    )
    backoff: Duration = Field(
        default=10.0,
        ge=0.1,
        le=3600,
        description='Time between the first restart and the next one, such as "10s"; twice as long after each.',
    )
