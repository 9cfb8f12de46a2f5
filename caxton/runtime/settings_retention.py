"""`[retention]`: how long things are kept where nobody has decided otherwise."""

from typing import Annotated

from pydantic import Field

from caxton.domain.quantities import Duration
from caxton.domain.retention import LONGEST_PERIOD, Periods
from caxton.runtime.settings_sections import FilePath, Section

Period = Annotated[Duration, Field(ge=1, le=LONGEST_PERIOD)]


class RetentionSettings(Section):
    """`[retention]`: periods for all workspaces where `caxton retention set` decides nothing else; without one, for ever."""

    conversations: Period | None = Field(
        default=None,
        description='Conversations that have ended, with all that they left, such as "90d"; without it for ever.',
    )
    messages: Period | None = Field(default=None, description='What was said, such as "90d".')
    executions: Period | None = Field(
        default=None, description='Executions, with their steps and approvals, such as "90d".'
    )
    steps: Period | None = Field(
        default=None, description='Answers of models, arguments and results of calls, such as "30d".'
    )
    contents: Period | None = Field(
        default=None, description='Files that were uploaded and are of no version of an agent or a tool, such as "30d".'
    )

    events: Period | None = Field(
        default=None,
        description='The event log: what is older leaves the database as files that still verify, such as "365d".',
    )
    archive: FilePath | None = Field(
        default=None, description="Folder for those files; without it `archive` in the data folder."
    )

    @property
    def periods(self) -> Periods:
        """The periods."""
        return Periods(**self.model_dump(include=set(Periods.model_fields)))
