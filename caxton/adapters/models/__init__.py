"""Models: scripts for offline work, and providers through the model layer of pydantic-ai."""

from caxton.adapters.models.gateway import Models
from caxton.adapters.models.settings import ModelPrice, ModelsSettings, ProviderSettings

__all__ = ["ModelPrice", "Models", "ModelsSettings", "ProviderSettings"]
