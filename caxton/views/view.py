"""The base of all views."""

from typing import Any

from pydantic import BaseModel, ConfigDict, WithJsonSchema


class View(BaseModel):
    """A response of the API."""

    model_config = ConfigDict(extra="ignore", frozen=True, from_attributes=True)


def described_by(model: type[BaseModel]) -> WithJsonSchema:
    """Describes a field as `model`, which is not read as one: it refuses what a newer server may add."""
    return WithJsonSchema(model.model_json_schema() | {"additionalProperties": True})


Fields = dict[str, Any]
