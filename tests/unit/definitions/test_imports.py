"""Agent files of other programs become valid files of a workspace."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from caxton.definitions.imports.found import Found
from caxton.definitions.imports.reading import read_files
from caxton.definitions.imports.toml_text import document
from caxton.definitions.imports.writing import write_into
from caxton.definitions.workspace import load_workspace
from caxton.domain.errors import InvalidInput, InvalidState, UsageError

FILES = Path(__file__).parents[2] / "fixtures" / "imports"


def written(found: Found) -> dict[str, dict[str, Any]]:
    return {path: tomllib.loads(text) for path, text in found.files().items()}


def notes(found: Found) -> dict[str, str]:
    return {note.where: f"{note.what} {note.hint}" for note in found.notes}


@pytest.mark.parametrize("name", ["docker-agent.yaml", "agents.yaml", "assistant.json"])
def test_what_is_written_is_valid(name: str, tmp_path: Path) -> None:
    _, found = read_files([FILES / name])
    paths, _ = write_into(tmp_path, found, force=False, dry_run=False)
    workspace = load_workspace(tmp_path)
    assert not workspace.errors
    assert {each.name for each in workspace.agents} == set(found.agents)
    assert all((tmp_path / path).is_file() for path in paths)
    with pytest.raises(InvalidState, match="already"):
        write_into(tmp_path, found, force=False, dry_run=False)
    write_into(tmp_path, found, force=True, dry_run=False)


def test_a_team_of_docker_agent() -> None:
    program, found = read_files([FILES / "docker-agent.yaml"])
    assert program == "Docker Agent"
    files = written(found)
    root = files["agents/root.toml"]
    assert (root["model"], root["delegates"]) == ("anthropic:claude-sonnet-4-5", ["web-researcher", "writer"])
    assert root["model_settings"] == {"temperature": 0.5, "max_tokens": 64000}
    assert root["limits"] == {"steps": 30}
    assert (root["tools"], root["memory"]) == (["memory"], {"enabled": True})
    assert root["system_prompt"].startswith("{% raw %}You coordinate")
    assert 'say "hello" with """three""" quotes.' in root["system_prompt"]
    [writer] = files["agents/writer.toml"]["capabilities"]
    assert writer["output"]["required"] == ["title", "body"]
    search = files["tools/brave-search/tool.toml"]
    assert search["mcp_server"]["functions"] == ["brave_web_search"]
    assert search["permissions"] == {"environment": ["TOOL_BRAVE_API_KEY", "REGION"]}
    remote = files["tools/githubcopilot/tool.toml"]["mcp_server"]
    assert remote["headers"] == {"Authorization": "Bearer env:TOOL_GITHUB_TOKEN"}
    assert "abc123" not in str(found.files()) + str(found.notes), "secrets stay where they are"
    told = notes(found)
    assert "agentcatalog/pirate" in told["agents.root.sub_agents"]
    grant = "--command 'npx -y @modelcontextprotocol/server-brave-search' --environment TOOL_BRAVE_API_KEY --environment REGION"
    assert grant in told["agents.Web Researcher.toolsets.0"]
    grant = "caxton tool grant githubcopilot --network https://api.githubcopilot.com --environment TOOL_GITHUB_TOKEN"
    assert grant in told["agents.Web Researcher.toolsets.2"]
    assert "docker:duckduckgo" in told["agents.Web Researcher.toolsets.1"]
    assert "filesystem" in told["agents.Web Researcher.toolsets.3"]
    assert "[models.providers.dmr]" in told["agents.writer.model"]
    assert {"agents.root.add_date", "models.claude.thinking_budget"} <= set(told)


def test_an_mcp_server_for_memory_gets_a_name_that_is_free(tmp_path: Path) -> None:
    text = "version: '2'\nagents:\n  root:\n    model: openai/gpt-5-mini\n    instruction: You note.\n    toolsets:\n"
    server = '      - {type: mcp, command: npx, args: ["-y", "@modelcontextprotocol/server-memory"]}\n'
    (tmp_path / "team.yaml").write_text(text + "      - type: memory\n" + server)
    _, found = read_files([tmp_path / "team.yaml"])
    files = written(found)
    assert files["agents/root.toml"]["tools"] == ["memory-server", "memory"]
    assert files["tools/memory-server/tool.toml"]["name"] == "memory-server"
    write_into(tmp_path / "into", found, force=False, dry_run=False)
    assert not load_workspace(tmp_path / "into").errors


def test_a_crew_with_its_tasks() -> None:
    program, found = read_files([FILES / "agents.yaml"])
    assert program == "CrewAI"
    files = written(found)
    researcher = files["agents/researcher.toml"]
    assert researcher["model"] == "openai:gpt-4o-mini"
    assert [each["name"] for each in researcher["capabilities"]] == ["research_task"]
    assert "Conduct a thorough research about {{ variables.topic | default(request) }}" in researcher["system_prompt"]
    assert "What is expected: A list with 10 bullet points" in researcher["system_prompt"]
    assert researcher["limits"] == {"steps": 25}
    analyst = files["agents/reporting_analyst.toml"]
    assert analyst["capabilities"][0]["approval_mode"] == "operator"
    assert '{"a": 1}' in analyst["system_prompt"]
    assert "Answer in Markdown." in analyst["system_prompt"]
    crew = files["agents/crew.toml"]
    assert crew["delegates"] == ["research_task", "reporting_task"]
    assert "2. reporting_task, with what research_task brought" in crew["system_prompt"]
    told = notes(found)
    assert "current_year, topic" in told["agents.researcher"]
    expected = {
        "agents.researcher.tools",
        "agents.reporting_analyst.allow_delegation",
        "agents.reporting_analyst.reasoning",
    }
    assert expected | {"tasks.reporting_task.output_file"} <= set(told)


def test_an_assistant_of_openai() -> None:
    program, found = read_files([FILES / "assistant.json"])
    assert program == "OpenAI"
    tutor = written(found)["agents/math-tutor.toml"]
    assert (tutor["model"], tutor["description"]) == ("openai:gpt-4o", "Explains step by step.")
    assert tutor["model_settings"] == {"temperature": 0.2, "top_p": 1.0}
    assert tutor["parameters"] == {"course": "algebra"}
    assert tutor["capabilities"][0]["output"]["required"] == ["steps"]
    told = notes(found)
    assert set(told) == {"tools.0", "tools.1", "tools.2", "tool_resources"}
    assert "get_grade" in told["tools.2"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "agents: [", "not YAML"),
        ("a.yaml", "just: {a: 1}", "just: neither an agent"),
        ("a.yaml", "- 1\n- 2\n", "a mapping is expected"),
        ("a.json", "{", "not JSON"),
        ("a.json", "[1]", "a mapping is expected"),
        ("a.yaml", "agents:\n  root: {model: openai/x, toolsets: 7}\n", "agents.root.toolsets: a list is expected"),
        ("a.yaml", "a: &a [x, x]\n" + "".join(f"b{n}: *a\n" for n in range(30)), "aliases"),
        ("a.yaml", "a: !!python/object/apply:os.system ['true']\n", "not YAML"),
    ],
)
def test_what_cannot_be_read_is_told(name: str, text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InvalidInput, match=said):
        read_files([file])
    with pytest.raises(UsageError):
        read_files([tmp_path / "nothing.yaml"])


@pytest.mark.parametrize(
    "value",
    [
        'a "quoted"\nline\n',
        '""""""\n""',
        "back\\slash\n\\",
        "a\tb\x01\nc\r\nd",
        "\n\n",
        'ends with "\n"',
        "ü\n€",
        "\nlead",
    ],
)
def test_texts_come_out_as_they_went_in(value: str) -> None:
    data = {"text": value, "table": {"of": {"deep": [{"a": value}, {"b": 1.5}]}, "odd key": True, "none": None}}
    found = tomllib.loads(document(data, "# head"))
    assert found["text"] == value
    assert found["table"] == {"of": {"deep": [{"a": value}, {"b": 1.5}]}, "odd key": True}
