"""What clients of the A2A protocol get by the settings: signed cards, and push notifications."""

from typing import TYPE_CHECKING

from caxton.adapters.pushing import PushSender
from caxton.adapters.sandbox.addresses import Check
from caxton.adapters.secrets import SECRETS
from caxton.domain.errors import Hint, InvalidSettings
from caxton.domain.hook_signatures import key_of
from caxton.domain.push import PushPolicy
from caxton.domain.triggers import Scheme
from caxton.runtime.settings_a2a import A2ASettings

if TYPE_CHECKING:
    from caxton.api.services import CardSigning


def push_policy(settings: A2ASettings) -> PushPolicy:
    """Where push notifications may go."""
    return PushPolicy(tuple(settings.push_origins))


def push_sender(settings: A2ASettings, check: Check) -> PushSender:
    """What sends push notifications; `check` refuses addresses that nothing of the server's may call.

    Raises:
        InvalidSettings: the secret cannot be read, or is none: better told now than when something has to be told.
    """
    if settings.push_secret is not None:
        try:
            key_of(Scheme.STANDARD, SECRETS.get(settings.push_secret).get_secret_value())
        except ValueError as error:
            raise InvalidSettings(
                f"push_secret in [a2a] is no secret to sign with: {error}",
                Hint(text="make one", command="echo whsec_$(openssl rand -base64 24)"),
            ) from None
    return PushSender(push_policy(settings), check, settings.push_secret)


def card_signer(settings: A2ASettings) -> "CardSigning | None":
    """What signs agent cards; None where there is no key.

    Raises:
        InvalidSettings: the key cannot be read, or is none.
    """
    if settings.card_key is None:
        return None
    from caxton.api.a2a_face.signatures import CardSigner

    return CardSigner(SECRETS.get(settings.card_key).get_secret_value(), settings.card_key_id)
