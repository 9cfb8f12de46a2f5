"""Push notifications go to no private address that nobody has named, whatever a name resolves to."""

import pytest

from caxton.adapters.pushing import PushSender
from caxton.adapters.sandbox import addresses
from caxton.domain.errors import ChannelFailed, ChannelUnreachable
from caxton.domain.push import ANYWHERE, PushConfig, PushPolicy


def _sender(*origins: str) -> PushSender:
    def check(address: addresses.Address, port: int) -> None:
        if port == 8080:
            raise addresses.Forbidden("one of the server's own ports")

    return PushSender(PushPolicy(origins), check, None)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest",
        "https://[::ffff:127.0.0.1]/x",
        "https://[64:ff9b::7f00:1]/x",
        "http://93.184.215.14/x",
    ],
)
async def test_private_addresses_are_refused(url: str) -> None:
    with pytest.raises(ChannelFailed) as caught:
        await _sender(ANYWHERE).post(PushConfig(id="a", url=url), "msg", {})
    assert not isinstance(caught.value, ChannelUnreachable), "another attempt would not help"


async def test_a_name_that_leads_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    private = addresses.literal("10.1.2.3")
    monkeypatch.setattr(addresses, "look_up", lambda *_: [private])
    with pytest.raises(ChannelFailed, match="private address"):
        await _sender(ANYWHERE).post(PushConfig(id="a", url="https://inside.example/x"), "msg", {})


async def test_the_servers_own_ports_are_refused_even_if_they_are_named() -> None:
    with pytest.raises(ChannelFailed, match="own ports"):
        await _sender("http://127.0.0.1:8080").post(PushConfig(id="a", url="http://127.0.0.1:8080/x"), "msg", {})


def test_what_is_no_address_of_the_web_is_told() -> None:
    policy = PushPolicy((ANYWHERE, "http://10.0.0.7:9000"))
    assert policy.problem("https://hooks.example.com/x") is None
    assert policy.problem("http://10.0.0.7:9000/x") is None
    for url in ("http://hooks.example.com/x", "file:///etc/passwd", "https://", "https://a@b.example/", "x"):
        assert policy.problem(url), url
    assert not PushPolicy(()).allows_any
