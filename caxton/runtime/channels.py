"""Channels that notices go to, as the settings name them."""

from caxton.adapters import webhooks
from caxton.domain.channels import Channel
from caxton.domain.errors import Hint, InvalidSettings
from caxton.domain.secrets import one_reference
from caxton.runtime.settings import Settings


def channels_of(settings: Settings) -> dict[str, Channel]:
    """The channels that notices go to.

    Raises:
        InvalidSettings: notices of one could not be signed: better told now than when something has gone wrong.
    """
    found = {
        name: Channel(url=each.url, secret=one_reference(each.secret, each.secret_env))
        for name, each in settings.channels.items()
    }
    for name in settings.alerts.channels:
        if name not in found:
            raise InvalidSettings(
                f'alerts.channels names "{name}", and there is no such channel',
                Hint(text=f"describe it in a table [channels.{name}], with its url and its secret"),
            )
    for name, channel in found.items():
        problem = webhooks.secret_problem(channel)
        if problem is not None:
            variable = (channel.secret or "").removeprefix("env:")
            raise InvalidSettings(
                f"channel {name}: {problem}",
                Hint(text="make a secret", command=f"export {variable}=whsec_$(openssl rand -base64 24)"),
            )
    return found
