"""The files of a request, kept before it is asked."""

from dataclasses import replace

from caxton.api.openai_face.continuing import Ready
from caxton.api.openai_face.exchange import Asked
from caxton.api.services import Services
from caxton.domain.errors import InvalidInput, UnsupportedMediaType
from caxton.domain.files import FileReference, check_count
from caxton.domain.placed_files import worth_keeping
from caxton.domain.tools import Artifact
from caxton.service.context import Caller


async def bring(services: Services, caller: Caller, asked: Asked, ready: Ready) -> Ready:
    """The request with its files, those that came with it stored. Each counts once: clients send an image again with each
    request of a chat.

    Raises:
        InvalidInput: one is not there, or of no type that is taken.
    """
    if not asked.files:
        return ready
    check_count(len(asked.files))
    found: list[Artifact] = []
    for file in asked.files:
        if isinstance(file, FileReference):
            found.append(await services.files.find(caller, file))
            continue
        try:
            found.append(await services.files.keep(caller, file.content, file.name))
        except UnsupportedMediaType as error:  # of a part, not of the body
            raise InvalidInput(error.message, *error.hints, details={"param": file.place}) from None
    placed = {file.digest: (file, place) for file, place in zip(found, asked.places, strict=True)}
    ordered = sorted(placed.values(), key=lambda each: each[1])
    places = worth_keeping([place for _, place in ordered], ready.content)
    return replace(
        ready,
        files=[file for file, _ in ordered],
        context=ready.context.model_copy(update={"places": places}),
    )
