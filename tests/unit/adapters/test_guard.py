"""What the guard of the sandboxes keeps tools from, whatever was granted."""

import ipaddress
import socket
from pathlib import Path

import pytest

from caxton.adapters.sandbox.addresses import Unreachable, resolve
from caxton.adapters.sandbox.guard import Guard, own_listening_ports
from caxton.domain.tools import ToolLimits


@pytest.mark.requirement("TOL-4")
def test_a_port_that_caxton_listens_on_is_refused_by_every_address_of_this_machine() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        guard = Guard(listening=own_listening_ports)
        for host in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1"):
            with pytest.raises(Unreachable):
                guard.check_address(ipaddress.ip_address(host), port)
    guard.check_address(ipaddress.ip_address("127.0.0.1"), port)  # nobody listens there any more


@pytest.mark.requirement("TOL-4")
def test_what_caxton_works_with_is_refused_by_address_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(host: str, *_: object) -> list[object]:
        address = {"temporal.example": "10.1.2.3"}[host]
        return [ipaddress.ip_address(address)]

    monkeypatch.setattr("caxton.adapters.sandbox.guard.look_up", found)
    guard = Guard(services=[("temporal.example", 7233)])
    with pytest.raises(Unreachable):
        guard.check_address(ipaddress.ip_address("10.1.2.3"), 7233)
    with pytest.raises(Unreachable):
        guard.check_address(ipaddress.ip_address("::ffff:10.1.2.3"), 7233)
    guard.check_address(ipaddress.ip_address("10.1.2.3"), 443)
    guard.check_address(ipaddress.ip_address("10.1.2.4"), 7233)


@pytest.mark.requirement("TOL-4")
def test_a_name_is_refused_if_one_of_its_addresses_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object) -> list[object]:
        return [ipaddress.ip_address("93.184.216.34"), ipaddress.ip_address("169.254.169.254")]

    monkeypatch.setattr("caxton.adapters.sandbox.addresses.look_up", found)
    # The private one is left out; the connection goes to the public one that was checked.
    assert resolve("rebinding.example", 80, 1.0, Guard().check_address) == ["93.184.216.34"]
    monkeypatch.setattr("caxton.adapters.sandbox.addresses.look_up", lambda *_: [ipaddress.ip_address("127.0.0.1")])
    with pytest.raises(Unreachable):
        resolve("rebinding.example", 80, 1.0, Guard().check_address)


@pytest.mark.requirement("TOL-4")
def test_networks_that_the_operator_blocks_are_refused() -> None:
    guard = Guard(networks=[ipaddress.ip_network("10.0.0.0/8")])
    with pytest.raises(Unreachable):
        guard.check_address(ipaddress.ip_address("10.9.9.9"), 80)
    guard.check_address(ipaddress.ip_address("192.168.1.1"), 80)


@pytest.mark.requirement("TOL-4")
def test_folders_of_caxton_and_the_system_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "blobs").mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "link").symlink_to(data)
    guard = Guard(folders=[data])
    for path in (data, data / "blobs", tmp_path, other / "link", Path("/"), Path("/proc/self"), Path("/dev")):
        assert guard.folder_problem(path) is not None, path
    assert guard.folder_problem(other) is None


@pytest.mark.requirement("TOL-3")
def test_limits_stay_below_the_operators_maximum() -> None:
    most = ToolLimits(memory=1 << 30, wall_time=60.0)
    asked = ToolLimits(memory=4 << 30, wall_time=600.0, fuel=10**15)
    assert Guard(maximum=most).limits(asked) == most.model_copy(update={"message_size": asked.message_size})
