"""Blobs: content under its own address, of one customer; and no adapter that builds a path leaves its folder."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton.adapters.blobs import FileBlobs
from caxton.adapters.memory.lance_tables import Tables
from caxton.adapters.sandbox.cache import CompiledFiles
from caxton.adapters.sandbox.folders import write_folder
from caxton.domain.errors import InvalidInput, InvalidModule, NotFound
from caxton.domain.ids import Digest, Scope, digest_of
from caxton.domain.memory_port import Place
from caxton.domain.messages import INLINE_LIMIT
from caxton.recording.contents import pack, unpack

SCOPE = Scope(customer="acme")


async def test_content_comes_back_by_its_address_to_its_customer_only(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    digest = await blobs.put("acme", b"a chart")
    assert digest == digest_of(b"a chart")
    assert await blobs.get("acme", digest) == b"a chart"
    with pytest.raises(NotFound):
        await blobs.get("other", digest)
    absent = digest_of(b"another")
    assert await blobs.missing("acme", [digest, absent, absent]) == [absent]
    assert await blobs.missing("other", [digest]) == [digest]


async def test_writers_of_the_same_content_leave_one_whole_file(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    content = b"x" * 300_000
    await asyncio.gather(*(blobs.put("acme", content) for _ in range(20)))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in files] == [content]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    text=st.one_of(st.text(max_size=200), st.builds(lambda t, n: (t or "é") * n, st.text(max_size=3), st.just(40_000)))
)
def test_text_of_any_size_and_any_characters_comes_back(tmp_path: Path, text: str) -> None:
    async def there_and_back() -> None:
        blobs = FileBlobs(tmp_path)
        content = await pack(blobs, SCOPE, text)
        assert content.size == len(text.encode())
        assert await unpack(blobs, SCOPE, content) == text
        inline = content.size <= INLINE_LIMIT and "\0" not in text
        assert (content.text == text, content.digest is None) == (inline, inline)

    asyncio.run(there_and_back())


@pytest.mark.parametrize(
    "digest", ["", "..", "../other/aa", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "\0" * 64]
)
async def test_no_address_leads_out_of_the_customers_folder(tmp_path: Path, digest: str) -> None:
    """Whatever the rest of the program lets through."""
    blobs = FileBlobs(tmp_path)
    (tmp_path / "other").write_bytes(b"secret")
    for customer, address in (("acme", Digest(digest)), ("../x", digest_of(b"")), ("", digest_of(b""))):
        for use in (
            blobs.get(customer, address),
            blobs.missing(customer, [address]),
            blobs.delete(customer, [address]),
        ):
            with pytest.raises(InvalidInput):
                await use


@pytest.mark.parametrize("names", [["../x"], ["/x"], ["a/../../x"], ["a\0"], [""], ["a", "a/b"]])
def test_no_file_of_a_tool_is_written_outside_of_its_folder(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InvalidModule):
        write_folder(tmp_path / "cache" / "one", dict.fromkeys(names, b""))
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("digest", ["../x", "", "a/b", "a" * 63])
def test_compiled_code_is_kept_under_digests_only(tmp_path: Path, digest: str) -> None:
    files = CompiledFiles(tmp_path / "cache", "settings")
    with pytest.raises(InvalidModule):
        files.store(digest, "component", b"")
    with pytest.raises(InvalidModule):
        files.load(digest, "component")


@pytest.mark.parametrize(
    "place", [Place("..", "w"), Place("acme", ".."), Place("acme", "a/b"), Place("", "w"), Place("acme", "")]
)
def test_memories_are_below_names_only(tmp_path: Path, place: Place) -> None:
    with pytest.raises(InvalidInput):
        Tables(tmp_path, "vector", 3).folder(place)
