"""Which model answers: names, "auto", keys by environment, and what to do when nothing is configured."""

import subprocess
import sys
from typing import Any

import pytest
from model_requests import agent, request
from pydantic import ValidationError

from caxton.adapters import templates
from caxton.adapters.models import Models, ModelsSettings, ProviderSettings
from caxton.adapters.models.endpoints import KEY_VARIABLES
from caxton.domain.errors import ModelNotConfigured
from caxton.domain.ports import ModelGateway

RULES = [{"steps": [{"reply": "scripted reply"}]}]
LOCAL = ProviderSettings(base_url="http://127.0.0.1:1/v1")


def gateway(environment: dict[str, str] | None = None, **settings: Any) -> Models:
    return Models(ModelsSettings(**settings), templates, environment=environment or {})


def hints(error: ModelNotConfigured) -> str:
    return " | ".join(f"{hint.text} [{hint.command}]" if hint.command else hint.text for hint in error.hints)


def test_models_is_the_port():
    models: ModelGateway = gateway()
    assert models.is_scripted(agent(rules=RULES))


@pytest.mark.requirement("FAC-4")
def test_auto_is_the_configured_model():
    models = gateway({"OPENAI_API_KEY": "k"}, default="openai:gpt-5")
    version = agent("auto", RULES)
    assert list(models.resolve(version)) == ["openai:gpt-5"]
    assert not models.is_scripted(version)


@pytest.mark.parametrize("settings", [{}, {"default": "openai:gpt-5"}])
async def test_auto_is_the_script_where_no_model_can_be_used(settings: dict[str, Any]):
    models = gateway(**settings)
    version = agent("auto", RULES)
    assert list(models.resolve(version)) == ["scripted"]
    assert models.is_scripted(version)
    reply = await models.respond(request(version), lambda _: None)
    assert (reply.text, reply.metadata["scripted"]) == ("scripted reply", True)


def test_auto_with_nothing_says_what_to_configure():
    with pytest.raises(ModelNotConfigured) as caught:
        gateway(default="openai:gpt-5").resolve(agent("auto"))
    assert 'the model "auto", but model openai:gpt-5 cannot be used: its API key is not set' in caught.value.message
    assert "[export OPENAI_API_KEY=…]" in hints(caught.value)
    assert "script = " in hints(caught.value)
    assert not gateway().is_scripted(agent("auto"))


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("gpt-5", 'model "gpt-5" names no provider', 'write "provider:model"'),
        ("openia:gpt-5", 'unknown provider, "openia"', 'did you mean "openai:gpt-5"?'),
        ("loacl:llama", 'unknown provider, "loacl"', 'did you mean "local:llama"?'),
        ("openai:gpt-5", "its API key is not set", "export OPENAI_API_KEY=…"),
        ("anthropic:claude-sonnet-4-5", "its API key is not set", "export ANTHROPIC_API_KEY=…"),
        ("google:gemini-3-pro", "its API key is not set", "set GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("keyed:m", "its API key is not set", "export MY_KEY=…"),
        ("headed:m", "header X-Team is not set", "export TEAM_TOKEN=…"),
        ("odd:m", 'provider "odd" is of an unknown kind, "opneai"', 'did you mean "openai"?'),
        ("scripted", 'agent "analyst" has no script', "script"),
    ],
)
def test_what_is_missing_is_said_with_the_way_out(model: str, message: str, hint: str):
    providers = {
        "local": LOCAL,
        "keyed": ProviderSettings(base_url="http://127.0.0.1:1", api_key_env="MY_KEY"),
        "headed": ProviderSettings(base_url="http://127.0.0.1:1", headers={"X-Team": "TEAM_TOKEN"}),
        "odd": ProviderSettings(kind="opneai"),
    }
    with pytest.raises(ModelNotConfigured) as caught:
        gateway(providers=providers).resolve(agent(model))
    assert message in caught.value.message
    assert hint in hints(caught.value)


def test_models_that_cannot_be_used_are_left_out():
    models = gateway(providers={"local": LOCAL})
    version = agent(["openai:gpt-5", "local:llama", "scripted"], RULES)
    assert list(models.resolve(version)) == ["local:llama", "scripted"]
    assert models.is_scripted(agent(["openai:gpt-5", "scripted", "local:llama"], RULES))


async def test_a_list_without_a_usable_model_lists_them_all():
    models = gateway()
    version = agent(["openai:gpt-5", "anthropic:claude-sonnet-4-5"])
    with pytest.raises(ModelNotConfigured) as resolving:
        models.resolve(version)
    with pytest.raises(ModelNotConfigured) as answering:
        await models.respond(request(version), lambda _: None)
    for caught in (resolving, answering):
        assert [entry["model"] for entry in caught.value.details["models"]] == version.spec.models


def test_a_key_set_later_counts():
    environment: dict[str, str] = {}
    models = Models(ModelsSettings(), templates, environment=environment)
    with pytest.raises(ModelNotConfigured):
        models.resolve(agent("openai:gpt-5"))
    environment["OPENAI_API_KEY"] = "k"
    assert list(models.resolve(agent("openai:gpt-5"))) == ["openai:gpt-5"]


@pytest.mark.parametrize(
    "settings",
    [
        {"default": "gpt-5"},
        {"default": "openai:"},
        {"providers": {"scripted": {}}},
        {"providers": {"x": {"base_url": "ftp://example.com"}}},
        {"providers": {"x": {"base_url": "https://user:hunter2@example.com"}}},
        {"providers": {"x": {"api_key_env": "sk-hunter2"}}},
        {"providers": {"x": {"api_key": "hunter2"}}},
        {"providers": {"x": {"headers": {"Authorization": "Bearer hunter2"}}}},
    ],
)
def test_settings_refuse_what_cannot_work_and_repeat_no_key(settings: dict[str, Any]):
    with pytest.raises(ValidationError) as caught:
        ModelsSettings.model_validate(settings)
    assert "hunter2" not in str(caught.value)


def test_every_known_kind_is_one_that_pydantic_ai_knows():
    from pydantic_ai.providers import infer_provider_class

    for kind in KEY_VARIABLES:
        try:
            infer_provider_class(kind)
        except ImportError:
            continue  # its package is not installed here; the name is known


def test_scripts_need_no_model_library():
    program = (
        "import sys; from caxton.adapters import templates; from caxton.adapters.models import Models, ModelsSettings; "
        "Models(ModelsSettings(), templates); "
        "print({'pydantic_ai', 'openai', 'anthropic', 'httpx', 'httpx2', 'jinja2'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "set()"


async def test_a_default_that_cannot_be_used_is_passed_over_in_the_open() -> None:
    models = Models(ModelsSettings(default="openai:gpt-5"), templates, environment={})
    version = agent("auto", [{"steps": [{"reply": "By the script."}]}])
    assert [model for model, _ in models.unusable(version)] == ["openai:gpt-5"]
    reply = await models.respond(request(version))
    assert reply.text == "By the script."
    [passed] = reply.metadata["fallback_from"]
    assert (passed["model"], passed["code"]) == ("openai:gpt-5", "model_not_configured")
    assert "API key is not set" in passed["reason"]


async def test_no_default_is_no_failure() -> None:
    models = Models(ModelsSettings(), templates, environment={})
    version = agent("auto", [{"steps": [{"reply": "By the script."}]}])
    assert (list(models.unusable(version)), models.default()) == ([], None)
    assert "fallback_from" not in (await models.respond(request(version))).metadata
