"""`caxton completion SHELL`"""

import os
from pathlib import Path
from typing import Annotated

import typer

from caxton.cli.app import PROGRAM, answer_shell, new_app
from caxton.cli.invocation import current
from caxton.cli.output import emit, remark, say

app = new_app()

SHELLS = ("bash", "zsh", "fish")


@app.command()
def completion(
    shell: Annotated[
        str | None, typer.Argument(metavar="bash|zsh|fish", help="The shell; else the present one.")
    ] = None,
    install: Annotated[bool, typer.Option("--install", help="Put it where the shell finds it.")] = False,
) -> None:
    """Print or install the script that completes commands, agents, tools and capabilities in a shell."""
    shell = _shell(shell)
    script = _script(shell)
    if not install:
        say(script)
        remark(f"\n# Put it where the shell finds it with: caxton completion {shell} --install")
        return
    target = _place(shell)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(script + "\n")
    if current().json:
        emit({"shell": shell, "file": str(target)})
        return
    say(f"wrote {target}")
    if shell == "zsh":
        remark(f"Have these lines in ~/.zshrc:  fpath+=({target.parent}); autoload -Uz compinit && compinit")
    remark("It works in the next shell that you open.")


def _shell(named: str | None) -> str:
    from caxton.domain.errors import Hint, UsageError

    found = named or Path(os.environ.get("SHELL", "")).name
    if not found:
        raise UsageError("which shell? SHELL is not set", Hint(text="name it", command="caxton completion bash"))
    if found not in SHELLS:
        raise UsageError(f'"{found}" is not a shell that can be completed in', f"known are {', '.join(SHELLS)}")
    return found


def _script(shell: str) -> str:
    """The script, from Typer."""
    from contextlib import redirect_stdout
    from io import StringIO

    variable = f"_{PROGRAM.upper()}_COMPLETE"
    written = StringIO()
    before = os.environ.get(variable)
    os.environ[variable] = f"source_{shell}"
    try:
        with redirect_stdout(written):
            answer_shell([])
    except SystemExit:
        pass
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before
    return written.getvalue().strip()


def _place(shell: str) -> Path:
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return {
        "bash": data / "bash-completion" / "completions" / PROGRAM,
        "zsh": data / "zsh" / "site-functions" / f"_{PROGRAM}",
        "fish": config / "fish" / "completions" / f"{PROGRAM}.fish",
    }[shell]
