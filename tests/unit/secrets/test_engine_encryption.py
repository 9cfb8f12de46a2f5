"""Payloads of the engine: encrypted, with keys that change, beside payloads that are not."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from caxton.domain.errors import InvalidSettings
from caxton.domain.secrets import kind_of_secret
from caxton.runtime.encryption import EncryptionCodec, build_codec, with_codec
from caxton.runtime.engine_keys import new_key, read_key
from caxton.runtime.payloads import PayloadLockedError, data_converter
from caxton.runtime.plaintext import plaintext_problem
from caxton.runtime.settings import Settings
from caxton.runtime.settings_sections import EncryptionSettings
from caxton.runtime.temporal import CaxtonPlugin
from caxton.runtime.wiring import WORKFLOWS

pytestmark = pytest.mark.requirement("SEC-4")

HISTORIES = sorted((Path(__file__).parents[2] / "replay" / "histories").glob("*.json"))
CANARY = "a canary in a payload"


def codec(*keys: str) -> EncryptionCodec:
    return EncryptionCodec([SecretStr(key) for key in keys])


async def test_payloads_come_back_and_show_nothing() -> None:
    one = codec(new_key())
    plain = data_converter.payload_converter.to_payload({"content": CANARY})
    first, second = await one.encode([plain, plain])
    for sealed in (first, second):
        assert CANARY.encode() not in sealed.SerializeToString()
        assert b"json" not in sealed.SerializeToString(), "the kind of content is content"
    assert first.data != second.data, "equal contents look different"
    assert await one.decode([first, second]) == [plain, plain]
    assert await one.encode([first]) == [first], "encrypted once is enough"
    assert await one.decode([plain]) == [plain], "what was there before encryption stays readable"


async def test_a_new_key_encrypts_and_old_ones_decrypt() -> None:
    old, new = new_key(), new_key()
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b"1")
    before = (await codec(old).encode([plain]))[0]
    both = codec(new, old)
    after = (await both.encode([plain]))[0]
    assert await both.decode([before, after]) == [plain, plain]
    assert after.metadata["encryption-key-id"].decode() == both.key_ids[0] == read_key(SecretStr(new))[0]
    with pytest.raises(PayloadLockedError) as caught:
        await codec(new).decode([before])
    assert caught.value.key_id == read_key(SecretStr(old))[0]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "other id", "no id"])
async def test_what_was_changed_is_refused(damage: str) -> None:
    one = codec(new_key(), new_key())
    sealed = one.encrypt(Payload(metadata={"encoding": b"json/plain"}, data=b"[1]"))
    if damage == "flipped":
        sealed.data = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
    elif damage == "cut":
        sealed.data = sealed.data[:20]
    elif damage == "empty":
        sealed.data = b""
    elif damage == "other id":
        sealed.metadata["encryption-key-id"] = one.key_ids[1].encode()
    else:
        del sealed.metadata["encryption-key-id"]
    with pytest.raises(PayloadLockedError):
        await one.decode([sealed])


async def test_messages_and_stacks_of_failures_are_encrypted() -> None:
    from temporalio.api.failure.v1 import Failure
    from temporalio.exceptions import ApplicationError

    def failing() -> Exception:
        try:
            raise ApplicationError(CANARY, {"reason": CANARY})
        except ApplicationError as error:
            return error

    converter = with_codec(data_converter, codec(new_key()))
    failure = Failure()
    await converter.encode_failure(failing(), failure)
    assert CANARY.encode() not in failure.SerializeToString()
    assert b"failing" not in failure.SerializeToString(), "nor the stack"
    assert CANARY in str(await converter.decode_failure(failure))


def test_without_a_key_it_is_said_which_one_is_missing() -> None:
    key = new_key()
    sealed = codec(key).encrypt(data_converter.payload_converter.to_payload(1))
    with pytest.raises(PayloadLockedError) as caught:
        data_converter.payload_converter.from_payload(sealed)
    assert read_key(SecretStr(key))[0] in str(caught.value)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_recorded_histories_replay_when_they_are_encrypted_in_part_or_as_a_whole(path: Path) -> None:
    old = codec(new_key())
    new = codec(new_key())
    both = EncryptionCodec.__new__(EncryptionCodec)
    both.__dict__.update(new.__dict__)
    both._keys = {**new._keys, **old._keys}  # pyright: ignore
    from functools import lru_cache

    both._known = lru_cache(10)(both._derive)  # pyright: ignore
    history = json.loads(path.read_text())
    for share in (1, 3):
        found = WorkflowHistory.from_json(path.stem, _encrypted(history, [old, new], share))
        await Replayer(workflows=WORKFLOWS, plugins=[CaxtonPlugin(both)]).replay_workflow(found)


def _encrypted(value: Any, codecs: list[EncryptionCodec], share: int, count: list[int] | None = None) -> Any:
    """`value` with each payload (each so manieth) encrypted, by one key or the other."""
    count = count if count is not None else [0]
    if isinstance(value, list):
        return [_encrypted(each, codecs, share, count) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("metadata"), dict) and "encoding" in value["metadata"]:
        count[0] += 1
        if count[0] % share:
            return value
        payload = json_format.ParseDict(value, Payload())
        return json_format.MessageToDict(codecs[count[0] % len(codecs)].encrypt(payload))
    return {
        # The engine and its SDK read those themselves.
        key: each if key in ("searchAttributes", "data", "patch-data") else _encrypted(each, codecs, share, count)
        for key, each in value.items()
    }


# --- keys ---


def test_keys_are_taken_in_the_forms_of_base64_and_nothing_else() -> None:
    raw = bytes(range(200, 232))
    forms = [
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "cxe_" + base64.urlsafe_b64encode(raw).decode().rstrip("="),
        base64.b64encode(raw).decode() + "\n",
    ]
    assert len({read_key(SecretStr(form)) for form in forms}) == 1
    for wrong in (
        "",
        "short",
        base64.b64encode(raw[:16]).decode(),
        base64.b64encode(raw + raw).decode(),
        "é" * 43,
    ):
        with pytest.raises(ValueError, match="32 random bytes") as caught:
            read_key(SecretStr(wrong))
        assert not wrong or wrong not in str(caught.value)


def test_a_key_is_found_by_scanners_and_shown_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    assert kind_of_secret(key) == "a Caxton key"
    monkeypatch.setenv("ENGINE_KEY", key)
    found = build_codec(EncryptionSettings(keys=["env:ENGINE_KEY"]))
    assert found is not None
    assert key.removeprefix("cxe_") not in repr(found)
    monkeypatch.setenv("ENGINE_KEY", "not-a-key-at-all")
    with pytest.raises(InvalidSettings) as caught:
        build_codec(EncryptionSettings(keys=["env:ENGINE_KEY"]))
    assert "not-a-key-at-all" not in repr(caught.value.report())
    with pytest.raises(InvalidSettings, match="NOT_THERE is not set"):
        build_codec(EncryptionSettings(keys=["env:NOT_THERE"]))


# --- a Temporal service on another machine ---


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"address": "temporal.example.com:7233"}, ["engine.encryption.keys", "temporal.tls"]),
        ({"address": "temporal.example.com:7233", "tls": True}, ["engine.encryption.keys"]),
        ({"address": "10.0.0.7:7233", "keys": ["env:K"]}, ["temporal.tls"]),
        ({"address": "temporal.example.com:7233", "tls": True, "keys": ["env:K"]}, []),
        ({"address": "temporal.example.com:7233", "allow_plaintext": True}, []),
        ({"address": "127.0.0.1:7233"}, []),
        ({"address": "[::1]:7233"}, []),
        ({"address": "localhost:7233"}, []),
        ({"address": "127.0.0.1.example.com:7233"}, ["engine.encryption.keys", "temporal.tls"]),
        ({}, []),
    ],
)
def test_a_server_says_what_would_leave_the_machine_in_plain_text(settings: dict[str, Any], missing: list[str]) -> None:
    encryption = {name: settings.pop(name) for name in ("keys", "allow_plaintext") if name in settings}
    problem = plaintext_problem(Settings(temporal=settings, engine={"encryption": encryption}))  # pyright: ignore
    if not missing:
        assert problem is None
        return
    assert problem is not None
    for name in missing:
        assert name in problem.message
    assert any("allow_plaintext = true" in hint.text for hint in problem.hints)
