"""Files of a request, made ready for one model: loaded if it takes them, put into the text, or only told of."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from caxton.adapters.models.endpoints import Endpoint
from caxton.domain.errors import Hint, ModelInputUnsupported
from caxton.domain.files import FileKind, kind_of
from caxton.domain.placed_files import cut, joined
from caxton.domain.ports import FunctionResult, ModelRequest, PromptFile, PromptPart
from caxton.domain.quantities import format_size

MOST_BYTES: Final = 20 << 20
"""Bytes of files that one request to a model carries."""

LONGEST_TEXT: Final = 256 << 10
"""Bytes of a text file that a model sees."""

_SEES_IMAGES = frozenset({FileKind.IMAGES})
_READS = frozenset({FileKind.IMAGES, FileKind.DOCUMENTS})
_HEARS = frozenset({FileKind.IMAGES, FileKind.DOCUMENTS, FileKind.AUDIO})

KNOWN: Final[dict[str, frozenset[FileKind]]] = {
    "anthropic": _READS,
    "azure": _SEES_IMAGES,
    "google": _HEARS,
    "google-cloud": _HEARS,
    "mistral": _SEES_IMAGES,
    "openai": _READS,
    "openai-chat": _READS,
    "openai-responses": _READS,
    "xai": _SEES_IMAGES,
}
"""What the models of providers take at their own addresses, where the settings say nothing."""

ALL_MODELS: Final = "*"


def taken_by(endpoint: Endpoint) -> frozenset[FileKind]:
    """The kinds of files that a model takes: as its provider's settings say, else as is known of the provider."""
    takes = endpoint.settings.takes
    found = takes.get(endpoint.model, takes.get(ALL_MODELS))
    if found is not None:
        return frozenset(found)
    if endpoint.settings.base_url is not None:
        return frozenset()
    known = KNOWN.get(endpoint.settings.kind, frozenset())
    return known | {FileKind.AUDIO} if "audio" in endpoint.model else known


def has_files(request: ModelRequest) -> bool:
    """Whether any file goes with a request."""
    return any(part.files or any(result.files for result in part.results) for part in request.parts)


async def attach(request: ModelRequest, endpoint: Endpoint) -> ModelRequest:
    """The request with its files as the model takes them. The latest count first: there is room for :data:`MOST_BYTES`.

    Raises:
        ModelInputUnsupported: the model does not take a file that it has to.
    """
    if not has_files(request):
        return request
    work = _Attachments(endpoint)
    parts = [await work.part(part) for part in reversed(request.parts)]
    return replace(request, parts=parts[::-1])


class _Attachments:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._takes = taken_by(endpoint)
        self._left = MOST_BYTES

    async def part(self, part: PromptPart) -> PromptPart:
        if part.files:
            return await self._in_place(part) if len(part.places) == len(part.files) else await self._behind(part)
        if any(result.files for result in part.results):
            return replace(part, results=[await self._result(result) for result in part.results])
        return part

    async def _behind(self, part: PromptPart) -> PromptPart:
        found = await self._of(part.files)
        texts = [part.text, *(each for each in found if isinstance(each, str))]
        files = [each for each in found if isinstance(each, PromptFile)]
        return replace(part, text="\n\n".join(filter(None, texts)), files=files, places=())

    async def _in_place(self, part: PromptPart) -> PromptPart:
        first, *others = cut(part.text, part.places)
        found = await self._of(part.files)
        pieces: list[str | PromptFile] = [first]
        for file, text in zip(found, others, strict=True):
            pieces += [file, text]
        text, places = joined([each if isinstance(each, str) else None for each in pieces], "\n\n")
        return replace(part, text=text, files=[each for each in pieces if isinstance(each, PromptFile)], places=places)

    async def _result(self, result: FunctionResult) -> FunctionResult:
        if not result.files:
            return result
        found = await self._of(result.files)  # what is not taken, the result's text tells of
        return replace(result, files=[each for each in found if isinstance(each, PromptFile)])

    async def _of(self, files: Sequence[PromptFile]) -> list[str | PromptFile]:
        """Each file with its bytes, or as a text."""
        found: list[str | PromptFile] = []
        for file in files:
            kind = kind_of(file.media_type)
            size = min(file.size, LONGEST_TEXT) if kind is FileKind.TEXT else file.size
            if kind is FileKind.TEXT and size <= self._left:
                self._left -= size
                found.append(await self._text(file))
            elif kind is not None and kind in self._takes and size <= self._left:
                self._left -= size
                found.append(replace(file, data=await file.load(file.size)))
            elif file.required:
                raise self._refusal(file, kind)
            else:
                found.append(f"[file {_told(file)}, which is not shown to you]")
        return found

    async def _text(self, file: PromptFile) -> str:
        content = await file.load(LONGEST_TEXT)
        text = await asyncio.to_thread(content.decode, errors="replace")
        cut = f"\n[cut: {format_size(LONGEST_TEXT)} of {format_size(file.size)}]" if file.size > LONGEST_TEXT else ""
        return f"[file {_told(file)}]\n{text}{cut}"

    def _refusal(self, file: PromptFile, kind: FileKind | None) -> ModelInputUnsupported:
        model, provider = self._endpoint.name, self._endpoint.provider
        details = {"model": model, "media_type": file.media_type, "takes": sorted(self._takes)}
        if kind is None or kind is FileKind.TEXT or kind in self._takes:
            return ModelInputUnsupported(
                f"the files of the request are larger than {format_size(MOST_BYTES)} together",
                "send fewer, or smaller ones",
                details=details,
            )
        return ModelInputUnsupported(
            f"model {model} takes no {kind}, and the request has one: {_told(file)}",
            Hint(
                text=f'if it does take them, say so: takes = {{"{self._endpoint.model}" = ["{kind}"]}} '
                f"under [models.providers.{provider}] of the server's settings"
            ),
            Hint(text="or give the agent a model that does, or name one behind it in a list"),
            details=details,
        )


def _told(file: PromptFile) -> str:
    return f"{file.name}, {file.media_type}, {format_size(file.size)}"
