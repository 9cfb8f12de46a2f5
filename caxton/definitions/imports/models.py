"""Names of models, as other programs write them."""

from caxton.definitions.imports.found import Found

_KINDS = {
    "amazon-bedrock": "bedrock",
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "google",
    "google": "google",
    "groq": "groq",
    "huggingface": "huggingface",
    "mistral": "mistral",
    "nebius": "nebius",
    "ollama": "ollama",
    "openai": "openai",
    "openrouter": "openrouter",
    "together": "together",
    "vertex_ai": "google-cloud",
    "xai": "xai",
}
"""Providers that a server knows, by what others call them."""

_FAMILIES = {"claude": "anthropic", "gemini": "google", "gpt": "openai", "o1": "openai", "o3": "openai", "o4": "openai"}
"""Providers of models that are named without one, by how their names begin."""


def model_of(given: str, where: str, found: Found) -> str:
    """A model as agents name it, such as "openai:gpt-5"; "auto" for one that cannot be told."""
    provider, slash, model = given.partition("/")
    if not slash:
        family = next((kind for begin, kind in _FAMILIES.items() if given.lower().startswith(begin)), None)
        if family is None:
            found.note(where, f'nobody knows whose model "{given}" is; the agent takes the server\'s default model')
            return "auto"
        return f"{family}:{given}"
    kind = _KINDS.get(provider)
    if kind is None:
        found.note(
            where,
            f'the provider "{provider}" is none that a server knows by itself',
            f"configure [models.providers.{provider}] in the server's caxton.toml, with its base_url",
        )
    return f"{kind or provider}:{model}"
