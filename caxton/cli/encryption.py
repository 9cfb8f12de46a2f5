"""`caxton encryption generate|keys`"""

from caxton.cli.app import new_app
from caxton.cli.invocation import current
from caxton.cli.output import emit, prose, remark, say
from caxton.cli.tables import table

app = new_app(help="Keys that encrypt what the workflow engine keeps.", no_args_is_help=True)


@app.command()
def generate() -> None:
    """Generate a key and show it, only this once. In a pipe, only the key is printed."""
    from pydantic import SecretStr

    from caxton.runtime.engine_keys import new_key, read_key

    key = new_key()
    identity = read_key(SecretStr(key))[0]
    if current().json:
        emit({"key": key, "id": identity})
        return
    say(key)
    remark(
        f"Its id is {identity}. Put it into a secret of the server, and a reference to it first in engine.encryption.keys;"
    )
    remark("keys that are there stay behind it, for what they have encrypted. Nobody can read that without them.")


@app.command()
def keys() -> None:
    """Show which keys the settings of this machine refer to, and whether they are there. The keys themselves are not shown."""
    from caxton.adapters.secrets import SECRETS
    from caxton.domain.errors import SecretMissing
    from caxton.runtime.engine_keys import read_key

    found: list[dict[str, str | None]] = []
    for reference in current().settings().settings.engine.encryption.keys:
        identity: str | None = None
        problem: str | None = None
        try:
            identity = read_key(SECRETS.get(reference))[0]
        except (SecretMissing, ValueError) as error:
            problem = str(error)
        use = "encrypts and decrypts" if not found else "decrypts"
        found.append({"reference": reference, "id": identity, "use": use, "problem": problem})
    if current().json:
        emit({"keys": found})
        return
    if not found:
        prose("What the workflow engine keeps is not encrypted.")
        return
    rows = [[str(key["reference"]), key["id"] or "–", str(key["problem"] or key["use"])] for key in found]
    for line in table(rows, ["reference", "id", "use"]):
        say(line)
