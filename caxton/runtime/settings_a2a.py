"""`[a2a]` of the server's settings: agent cards and push notifications of the A2A protocol."""

from typing import Annotated

from pydantic import AfterValidator, Field

from caxton.domain.origins import checked_origin
from caxton.domain.push import ANYWHERE
from caxton.domain.secrets import SecretReference
from caxton.runtime.settings_sections import Section


def _push_origin(origin: str) -> str:
    return origin if origin == ANYWHERE else checked_origin(origin)


PushOrigin = Annotated[str, AfterValidator(_push_origin)]


class A2ASettings(Section):
    """`[a2a]`."""

    card_key: SecretReference | None = Field(
        default=None,
        description='Reference to a private key in PEM that agent cards are signed with, such as "file:/run/secrets/card.pem": '
        "P-256, Ed25519 or RSA. Without one they are not signed.",
    )
    card_key_id: str = Field(
        default="caxton", min_length=1, max_length=100, description="Name of that key, as clients know it (`kid`)."
    )
    push_origins: list[PushOrigin] = Field(
        default=[ANYWHERE],
        max_length=100,
        description='Where push notifications may go: "https://*" is any host of the internet over HTTPS; private addresses '
        'and plain HTTP have to be named, such as "http://10.0.0.7:9000". None: nothing is pushed.',
    )
    push_secret: SecretReference | None = Field(
        default=None,
        description="Reference to a secret (`whsec_…`) that push notifications are signed with, beside the client's own token.",
    )
