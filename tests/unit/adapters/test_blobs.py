"""Blobs: content under its own address, of one customer."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton.activities.contents import pack, unpack
from caxton.adapters.blobs import FileBlobs
from caxton.domain.errors import NotFound
from caxton.domain.ids import Scope, digest_of
from caxton.domain.messages import INLINE_LIMIT

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
