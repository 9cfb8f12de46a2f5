"""What would leave this machine unencrypted for the workflow engine: a server does not start with that unless it is told so."""

from typing import TYPE_CHECKING

from caxton.client.discovery import is_loopback
from caxton.domain.errors import Hint, InvalidSettings

if TYPE_CHECKING:
    from caxton.runtime.settings import Settings


def plaintext_problem(settings: "Settings") -> InvalidSettings | None:
    """Why this server must not start with its Temporal service, and what to set; None if it may."""
    temporal, encryption = settings.temporal, settings.engine.encryption
    if temporal.address is None or is_loopback(f"http://{temporal.address}") or encryption.allow_plaintext:
        return None
    missing: list[str] = []
    hints: list[Hint] = []
    if not encryption.keys:
        missing.append("what the engine keeps is not encrypted (engine.encryption.keys is empty)")
        hints.append(Hint(text="make a key, put it where the server finds it", command="caxton encryption generate"))
        hints.append(Hint(text='and refer to it: keys = ["env:CAXTON_ENGINE_KEY"] in [engine.encryption]'))
    if not temporal.tls:
        missing.append("the connection is not encrypted (temporal.tls is false)")
        hints.append(Hint(text="set tls = true in [temporal], and tls_ca if your authority is not a public one"))
    if not missing:
        return None
    hints.append(Hint(text="or accept it: allow_plaintext = true in [engine.encryption]"))
    return InvalidSettings(
        f"the Temporal service {temporal.address} is on another machine, and {' and '.join(missing)}",
        *hints,
        details={"address": temporal.address, "missing": missing},
    )
