"""Agents for tests, as files."""


def agent(
    name: str, *, capabilities: str | None = None, rules: str, version: str = "1.0.0", more: str = ""
) -> dict[str, str | bytes]:
    """A scripted agent: its file and its script. `capabilities` is TOML; by default one of the agent's own name."""
    offered = capabilities or f'["{name}"]'
    definition = f'name = "{name}"\nversion = "{version}"\ncapabilities = {offered}\n'
    definition += f'model = "scripted"\nscript = "{name}.script.toml"\n'
    return {f"agents/{name}.toml": definition + more, f"agents/{name}.script.toml": rules}


def replies(template: str, *, delay: float = 0) -> str:
    """A script that always replies with `template`."""
    head = f"delay = {delay}\n" if delay else ""
    return f"{head}[[rules]]\n[[rules.steps]]\nreply = '''{template}'''\n"


def hands_over(capability: str, *, content: str = "{{ request }}", on_error: str | None = None) -> str:
    """A script that asks another agent, and passes on what it says."""
    failure = f"on_error = '''{on_error}'''\n" if on_error else ""
    return (
        f"[[rules]]\n[[rules.steps]]\ncapability = '{capability}'\ncontent = '''{content}'''\n{failure}"
        "[[rules.steps]]\nreply = '''{{ results[0].text }}'''\n"
    )
