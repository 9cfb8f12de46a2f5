"""A build hook of Hatch: `pip install '.[memory]'` in a checkout takes the model's package from the checkout.

pip looks for the packages of an extra in an index, also where the source of one lies beside what it installs. (uv does not:
`tool.uv.sources` tells it.) What is built for others names the package alone.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModelOfTheCheckout(BuildHookInterface):
    """Adds the requirement, where pip builds for itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the build."""
        model = Path(self.root) / "caxton_minilm"
        if "PIP_BUILD_TRACKER" not in os.environ or not (model / "pyproject.toml").is_file():
            return
        for extra, requirements in self.metadata.core.optional_dependencies.items():
            if any(requirement.startswith("caxton-minilm") for requirement in requirements):
                build_data["dependencies"].append(f'caxton-minilm @ {model.as_uri()} ; extra == "{extra}"')
