"""Workspaces that tests write themselves."""

from pathlib import Path

COMPONENT = b"\0asm\x0d\x00\x01\x00"
CORE_MODULE = b"\0asm\x01\x00\x00\x00"

TOOL = 'name = "{name}"\nversion = "1.0.0"\nmodule = "{name}.wasm"\n'
DATA_GRANT = 'permissions = { files = [{ path = "./data/", at = "/data" }] }\n'


def agent_text(name: str, *more: str, offers: str = "work") -> str:
    return "\n".join([f'name = "{name}"', 'version = "1.0.0"', f'capabilities = ["{offers}"]', *more, ""])


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Writes `files` below `folder`, with a `caxton.toml` if there is none among them."""
    for path, content in {"caxton.toml": "", **files}.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def complete(folder: Path) -> Path:
    """A workspace with two agents, one with a script, and a tool with a folder."""
    return write(
        folder,
        {
            "caxton.toml": '[workspace]\nname = "shop"\n',
            "agents/seller.toml": agent_text("seller", 'tools = ["till"]', 'script = "seller.script.toml"'),
            "agents/seller.script.toml": 'rules = [{ steps = [{ reply = "sold" }] }]\n',
            "agents/buyer.toml": agent_text("buyer", 'delegates = ["work"]', offers="buy"),
            "tools/till/tool.toml": TOOL.format(name="till") + DATA_GRANT,
            "tools/till/till.wasm": COMPONENT,
            "tools/till/data/prices.csv": "a,1\n",
            "tools/till/data/deep/more.csv": "b,2\n",
            "tools/till/data/.hidden": "not sent",
            "tools/till/source/till.zig": "not sent",
        },
    )
