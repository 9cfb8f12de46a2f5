"""Agent cards: of the server, of a workspace with its capabilities as skills, of one capability or agent."""

import hashlib
import json
from typing import Any, Final

from starlette.responses import Response

from caxton import __version__
from caxton.api.a2a_face.errors import KEYS, OLDER, PREFIX
from caxton.api.a2a_face.sending import target_of
from caxton.api.a2a_face.tasks import Json
from caxton.api.services import CardSigning, Services
from caxton.domain.capabilities import version_key, version_matches
from caxton.domain.errors import NoCapableAgent
from caxton.service.context import Caller
from caxton.views.a2a import EXTENSION
from caxton.views.agents import CapabilityView

TEXT: Final = "text/plain"
JSON: Final = "application/json"

PUBLIC: Final = "public, max-age=300"
"""How long the card may be kept that everybody gets."""
PRIVATE: Final = "private, max-age=60"
"""How long a card of a workspace may be kept: a deployment changes it."""

MOST_SKILLS: Final = 500

_KEY: Final = "key"
_SCHEME: Final[Json] = {
    "httpAuthSecurityScheme": {
        "scheme": "Bearer",
        "description": "An API key of the server. If it is good for several workspaces, X-Caxton-Workspace names one.",
    }
}
_REQUIREMENT: Final[Json] = {"schemes": {_KEY: {"list": ["messages:send", "messages:read"]}}}


def public_card(services: Services, base: str) -> Json:
    """What everybody may know: that there is a server, and how to call it. No workspace's skills."""
    skill: Json = {
        "id": "ask",
        "name": "ask",
        "description": "Asks an agent for a capability of a workspace. With a key, the extended card lists them as skills.",
        "tags": ["agents"],
        "inputModes": [TEXT, JSON],
        "outputModes": [TEXT, JSON],
    }
    about = "Caxton", "An agent server: agents as durable workflows.", __version__
    return _card(services, about, base, "", [skill], [])


async def workspace_card(caller: Caller, services: Services, base: str) -> Json:
    """The card of the caller's workspace: its capabilities are skills."""
    async with services.long_answers.turn(caller.scope.customer):
        offered = await services.agents.capabilities(caller, None)
        skills = [_skill(each) for each in offered[:MOST_SKILLS]]
    name = caller.scope.workspace
    nothing: Json = {"id": "none", "name": "none", "description": "No agent is deployed here yet.", "tags": ["none"]}
    described = f"Agents of the workspace {name}. A message names the skill that it is for in its metadata."
    about = name, described, __version__
    return _card(services, about, base, "", skills or [nothing], offered[:MOST_SKILLS])


async def target_card(caller: Caller, services: Services, base: str, target: str) -> Json:
    """The card of one capability, or of an agent: `agent:NAME`.

    Raises:
        NotFound: there is none.
    """
    aim = target_of(target)
    async with services.long_answers.turn(caller.scope.customer):
        offered = await services.agents.capabilities(caller, None)
    if aim.agent is not None:
        agent = await services.agents.show(caller, aim.agent)
        names = {each.name for each in agent.capabilities}
        own = [each for each in offered if each.name in names]
        described = agent.description or f"The agent {agent.name}."
        whole: Json = {"id": target, "name": agent.name, "description": described, "tags": ["agent"]}
        about = agent.name, described, agent.version
        return _card(services, about, base, f"/{target}", [*map(_skill, own)] or [whole], own)
    found = next((each for each in offered if each.name == aim.capability), None)
    versions = [each for each in found.versions if version_matches(each, aim.version_range)] if found else []
    if found is None or not versions:
        raise NoCapableAgent(
            f'nobody offers "{target[:100]}"',
            "the card of the workspace lists its skills",
            details={"capability": target[:100]},
        )
    version = max(versions, key=version_key)
    described = found.description or f"The capability {found.name}."
    return _card(services, (found.name, described, version), base, f"/{target}", [_skill(found)], [found])


def _card(
    services: Services,
    about: tuple[str, str, str],
    base: str,
    place: str,
    skills: list[Json],
    typed: list[CapabilityView],
) -> Json:
    """A card. It has nothing that is empty: what is signed is the same for all who leave that out."""
    name, described, version = about
    address, pushes = f"{base}{PREFIX}{place}", services.push.policy.allows_any
    schemas = {each.name: _schemas(each) for each in typed if each.input or each.output}
    extension: Json = {
        "uri": EXTENSION,
        "description": "Events are numbered and replayed behind a Last-Event-ID; a message that is sent again with the same "
        "messageId is answered once; skills with schemas take and bring data.",
        "required": False,
    }
    if schemas:
        extension["params"] = {"schemas": schemas}
    return {
        "name": name,
        "description": described,
        "version": version,
        "supportedInterfaces": [
            {"url": address, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": address, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
            {"url": address, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
            {"url": f"{base}{OLDER}{place}", "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3"},
        ],
        "documentationUrl": f"{base}/docs",
        "capabilities": {
            "streaming": True,
            "pushNotifications": pushes,
            "extendedAgentCard": True,
            "extensions": [{name: value for name, value in extension.items() if value is not False}],
        },
        "securitySchemes": {_KEY: _SCHEME},
        "securityRequirements": [_REQUIREMENT],
        "defaultInputModes": [TEXT, JSON],
        "defaultOutputModes": [TEXT, JSON],
        "skills": skills,
    }


def _skill(offered: CapabilityView) -> Json:
    return {
        "id": offered.name,
        "name": offered.name,
        "description": offered.description or f"The capability {offered.name}.",
        "tags": [offered.name],
        "inputModes": [JSON] if offered.input else [TEXT, JSON],
        "outputModes": [JSON] if offered.output else [TEXT],
    }


def _schemas(offered: CapabilityView) -> Json:
    return {name: value for name, value in (("input", offered.input), ("output", offered.output)) if value}


def for_version(card: Json, version: str | None) -> Json:
    """The card as a client of this version wants it. One that does not say so gets that of version 1.0, which knows no other
    fields."""
    return _older(card) if version == "0.3" else card


def _older(card: Json) -> Json:
    """The card in version 0.3."""
    capabilities = {name: value for name, value in card["capabilities"].items() if name != "extendedAgentCard"}
    kept = ("name", "description", "version", "documentationUrl", "defaultInputModes", "defaultOutputModes", "skills")
    return {
        **{name: card[name] for name in kept},
        "protocolVersion": "0.3.0",
        "url": card["supportedInterfaces"][0]["url"],
        "preferredTransport": "JSONRPC",
        "additionalInterfaces": [
            {"url": each["url"], "transport": each["protocolBinding"]}
            for each in card["supportedInterfaces"]
            if each["protocolVersion"] == "0.3"
        ],
        "capabilities": capabilities,
        "supportsAuthenticatedExtendedCard": True,
        "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer"}},
        "security": [{_KEY: []}],
    }


def card_response(
    card: Json, *, version: str | None, signer: CardSigning | None, base: str, cache: str, known: str | None
) -> Response:
    """A card with what caches need; 304 where the client has it already.

    Args:
        card: the card.
        version: of the protocol, as the client says; None where it says nothing.
        signer: signs it.
        base: address of the server, where its public keys are.
        cache: who may keep it, and how long.
        known: the ETag that the client has.
    """
    told = for_version(card, version)
    if signer is not None and version != "0.3":
        told = {**told, "signatures": [signer.sign(told, f"{base}{KEYS}")]}
    content = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    # Some ways to sign give another signature each time, so the tag is that of what is signed.
    unsigned = {name: value for name, value in told.items() if name != "signatures"}
    mark = signer.key_id if signer is not None else ""
    tag = f'"{hashlib.sha256(json.dumps([unsigned, mark], sort_keys=True).encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": cache, "Vary": "Authorization, X-Caxton-Workspace, A2A-Version"}
    if known is not None and tag in (each.strip().removeprefix("W/") for each in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=JSON, headers=headers)


def keys_response(signer: CardSigning | None) -> Response:
    """The public keys that cards are signed with, as a JSON Web Key Set."""
    keys: list[dict[str, Any]] = [] if signer is None else [signer.public_key]
    return Response(json.dumps({"keys": keys}), media_type=JSON, headers={"Cache-Control": PUBLIC})
