"""Scripts: rules that stand in for a model, for demos, tests and offline work.

A script answers by rule, so the same request always gets the same answer. Every reply says in its metadata that a script
made it. All texts are templates; they see `request`, `input` (the request to a capability with a schema, as an object),
`parameters`, `results` (of the steps so far; each has `.text`, `.json`, `.is_error`), `match` (groups of the rule's pattern),
`memories` (found for the request) and `history`.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Condition(BaseModel):
    """`when`: all that is given must hold. An empty condition always holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    matches: str | None = Field(default=None, description="A regular expression that is searched for in the request.")
    contains: str | None = Field(default=None, description="A text that the request contains, upper or lower case.")


class ScriptStep(BaseModel):
    """One step: call a tool, ask for a capability, or reply. Exactly one of `tool`, `capability`, `reply`, `data`, `fail`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str | None = Field(default=None, description='"server.function", such as "csv-tools.summarize".')
    arguments: dict[str, Any] = Field(default={}, description="Arguments of the tool; every text in it is a template.")
    capability: str | None = Field(default=None, description="The capability to hand work over to.")
    content: str = Field(default="{{ request }}", description="What is handed over.")
    input: dict[str, Any] | None = Field(
        default=None, description="What is handed over to a capability with a schema; every text in it is a template."
    )
    reply: str | None = Field(default=None, description="The answer; it ends the turn.")
    data: dict[str, Any] | None = Field(
        default=None, description="The answer as an object; every text in it is a template. It ends the turn."
    )
    fail: str | None = Field(default=None, description="Ends the turn with this error text.")
    on_error: str | None = Field(default=None, description="The reply when this step fails; without it the turn fails.")

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        given = [name for name in ("tool", "capability", "reply", "data", "fail") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(
                f'a step has exactly one of "tool", "capability", "reply", "data" and "fail"; found {found}'
            )
        if self.tool is not None and "." not in self.tool:
            raise ValueError(f'"{self.tool}" names no function; write "{self.tool}.function"')
        if self.input is not None and self.capability is None:
            raise ValueError('"input" goes with "capability"; for a tool, write "arguments"')
        return self


class Rule(BaseModel):
    """What to do when the request fits. Steps run in order; the last one replies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(default=None, description="Stands in the metadata of the replies that the rule makes.")
    when: Condition = Condition()
    steps: list[ScriptStep] = Field(min_length=1, max_length=50, description="What is done, in order.")


class Script(BaseModel):
    """A script file: the first rule whose condition holds is followed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[Rule] = Field(min_length=1, max_length=200, description="Tried in order.")
    delay: float = Field(default=0.0, ge=0, le=60, description="Seconds to wait before each step, to imitate a model.")
