"""`[retention]`: how long things are kept where nobody has decided otherwise."""

from typing import Annotated

from pydantic import Field

from caxton.domain.quantities import Duration
from caxton.domain.retention import LONGEST_PERIOD, Periods
from caxton.runtime.settings_sections import FilePath, Section

Period = Annotated[Duration, Field(ge=1, le=LONGEST_PERIOD)]


class RetentionSettings(Section):
    """`[retention]`: periods for all workspaces where `caxton retention set` decides nothing else; without one, forever."""

    conversations: Period | None = Field(
        default=None,
        description='How long ended conversations are kept, with all that belongs to them, such as "90d". By default forever.',
    )
    messages: Period | None = Field(default=None, description='How long messages are kept, such as "90d".')
    executions: Period | None = Field(
        default=None, description='How long executions are kept, with their steps and approvals, such as "90d".'
    )
    steps: Period | None = Field(
        default=None,
        description='How long answers of models, and arguments and results of calls, are kept, such as "30d".',
    )
    contents: Period | None = Field(
        default=None,
        description='How long uploaded files that belong to no version of an agent or tool are kept, such as "30d".',
    )

    events: Period | None = Field(
        default=None,
        description='How long events stay in the database, such as "365d". Older ones move to files that can still be verified.',
    )
    archive: FilePath | None = Field(
        default=None, description="Folder for those files; without it `archive` in the data folder."
    )

    @property
    def periods(self) -> Periods:
        """The periods."""
        return Periods(**self.model_dump(include=set(Periods.model_fields)))
