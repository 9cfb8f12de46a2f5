"""What the agents of the templates do without a model: real scripts, real templates, real tools in real sandboxes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from offline_turns import OfflineWorkspace

from caxton.definitions.templates import get_template, instantiate, list_templates

pytestmark = pytest.mark.xdist_group("template-answers")  # one worker makes what they share


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[OfflineWorkspace]:
    """A workspace with an agent of each template."""
    folder = tmp_path_factory.mktemp("office")
    for template in list_templates():
        instantiate(template.id, f"my-{template.id}", folder)
    made = OfflineWorkspace(folder, compiled)
    yield made
    made.sandbox.close()


@pytest.fixture
def calls(office: OfflineWorkspace) -> list[str]:
    office.calls.clear()
    office.files.clear()
    return office.calls


TREND = (
    "Revenue grew 60.0 % from January 2025 to December 2025, mostly in September 2025. "
    "Best: December 2025 with 206,191; weakest: February 2025 with 126,797. 48 rows make 1,906,340 in total."
)


async def test_two_agents_work_together_and_a_chart_comes_back(office: OfflineWorkspace, calls: list[str]) -> None:
    answer = await office.ask("fetch-data", "How did sales develop?")
    assert answer == f"{TREND}\n\nSource: /data/sales.csv, 48 rows."
    assert calls == ["csv-tools.read_csv", "analyze-data", "csv-tools.summarize", "chart-generator.line_chart"]
    chart = office.files["revenue-by-month.svg"]
    assert chart.startswith("<svg")
    assert "2025-12" in chart


async def test_groups_are_compared_as_bars(office: OfflineWorkspace, calls: list[str]) -> None:
    answer = await office.ask("fetch-data", "How do sales compare by region?")
    assert answer.startswith("North leads with 30.5 % of all revenue; East comes last.\n\n- North: 582293.86\n")
    assert calls[-1] == "chart-generator.bar_chart"


async def test_the_analyzer_answers_the_same_when_it_is_asked_itself(
    office: OfflineWorkspace, calls: list[str]
) -> None:
    assert await office.ask("analyze-data", "How did sales develop this quarter?") == TREND
    assert calls == ["csv-tools.read_csv", "csv-tools.summarize", "chart-generator.line_chart"]


@pytest.mark.parametrize(
    ("rows", "answer"),
    [
        ("2025-01,10\n2025-02,5", "Sold fell 50 % from January 2025 to February 2025. Best: January 2025 with 10;"),
        ("2025-01-31,10\n2025-02-28,10", "Sold stayed level from 2025-01-31 to 2025-02-28."),
        ("2025-01,1234567", "Sold comes to 1,234,567."),
        ("2025-01,0\n2025-02,5", "Sold comes to 5."),
        ("tea,-1500\ncoffee,12", "Sold by when. Best: coffee with 12; weakest: tea with -1,500."),
    ],
)
async def test_the_analyzer_says_what_the_numbers_say(
    office: OfflineWorkspace, calls: list[str], rows: str, answer: str
) -> None:
    assert (await office.ask("analyze-data", f"Well?\n\n```csv\nwhen,sold\n{rows}\n```")).startswith(answer)


async def test_rows_without_a_fence_are_data_too(office: OfflineWorkspace, calls: list[str]) -> None:
    answer = await office.ask("analyze-data", "month,sales\n2025-01,10\n2025-02,12")
    assert answer.startswith("Sales grew 20 % from January 2025 to February 2025")
    assert answer.endswith("2 rows make 22 in total.")


async def test_data_that_is_none_is_no_reason_to_fail(office: OfflineWorkspace, calls: list[str]) -> None:
    answer = await office.ask("analyze-data", "Well?\n```csv\nname\nx\n```")
    assert answer.startswith("I cannot analyse the data: ")
    answer = await office.ask("fetch-data", "What do we sell per planet?")
    assert "I cannot compare by planet: there is no column 'planet'" in answer


async def test_large_data_is_handed_over_whole(office: OfflineWorkspace, calls: list[str]) -> None:
    rows = "\n".join(f"2025-{1 + n // 400:02},1" for n in range(4800))
    answer = await office.ask("analyze-data", f"Well?\n\n```csv\nmonth,sold\n{rows}\n```")
    assert "4800 rows make 4,800 in total." in answer


async def test_a_host_that_is_not_granted_is_explained(office: OfflineWorkspace, calls: list[str]) -> None:
    for capability in ("fetch-data", "research-topic"):
        answer = await office.ask(capability, "What does https://example.com/report.csv say?")
        assert "could not" in answer
        assert "https://example.com/report.csv: not granted" in answer
        assert "tools/http-client/tool.toml" in answer


@pytest.mark.parametrize(
    ("template_id", "beginning"),
    [
        ("data-fetcher", "/data/sales.csv has 48 rows with the columns month, region, revenue, orders."),
        ("researcher", "Answer: not known yet. I asked for the capability fetch-data:"),
        ("front-desk", "This is for somebody who"),
    ],
)
async def test_an_agent_alone_says_what_it_lacks(
    tmp_path: Path, compiled: Path, template_id: str, beginning: str
) -> None:
    instantiate(template_id, "alone", tmp_path)
    alone = OfflineWorkspace(tmp_path, compiled)
    capability = alone.workspace.agents[0].version.spec.capabilities[0].name
    assert (await alone.ask(capability, "How did sales develop?")).startswith(beginning)
    alone.sandbox.close()


async def test_tasks_are_planned_the_urgent_ones_first(office: OfflineWorkspace, calls: list[str]) -> None:
    answer = await office.ask(
        "automate-task", "Prepare the launch: book a room, send the invitations today and order lunch"
    )
    assert answer == (
        "3 tasks, 1 of them urgent:\n\n1. [ ] Send the invitations today  ← today\n2. [ ] Book a room\n3. [ ] Order lunch\n\n"
        "Start with the urgent one."
    )


async def test_numbers_in_a_request_are_drawn(office: OfflineWorkspace, calls: list[str]) -> None:
    answer = await office.ask("automate-task", "Chart our fruit: red apples 12, pears 7, plums 20")
    assert answer == "Most: plums with 20 of 39 (51 %); least: pears with 7."
    assert "red apples" in office.files["chart-our-fruit.svg"]


@pytest.mark.parametrize(
    ("ticket", "kind", "priority"),
    [
        ("Since this morning nobody in our office can log in, we get error 500!", "outage", "P1"),
        ("Somebody unauthorized reads our mail", "security", "P1"),
        ("You charged my card twice", "billing", "P2"),
        ("I forgot my password", "access", "P2"),
        ("The export crashes", "bug", "P3"),
        ("How do I export my contacts?", "question", "P4"),
    ],
)
async def test_tickets_are_sorted(office: OfflineWorkspace, ticket: str, kind: str, priority: str) -> None:
    answer = await office.ask("triage-ticket", ticket)
    assert answer.startswith(f"Kind: {kind}\nPriority: {priority}\n")
    assert answer.endswith("The support team")


async def test_minutes_are_made_of_notes(office: OfflineWorkspace) -> None:
    notes = "We agreed to ship on Friday. Anna will write the notes.\n- Who tells the customers?\nNice weather."
    assert await office.ask("summarize-notes", notes) == (
        "Decisions:\n- We agreed to ship on Friday.\n\nTasks:\n- Anna will write the notes.\n\n"
        "Open questions:\n- Who tells the customers?"
    )


async def test_the_front_desk_finds_the_right_one(office: OfflineWorkspace, calls: list[str]) -> None:
    assert (await office.ask("handle-request", "A customer cannot log in")).startswith("Kind: access")
    assert TREND in await office.ask("handle-request", "How did sales develop?")
    assert "1. [ ] Tidy up" in await office.ask("handle-request", "tidy up")


@pytest.mark.parametrize("template_id", [template.id for template in list_templates()])
async def test_every_example_prompt_gets_an_answer(office: OfflineWorkspace, template_id: str) -> None:
    [agent] = [agent for agent in office.workspace.agents if agent.name == f"my-{template_id}"]
    for prompt in get_template(template_id).example_prompts:
        assert len(await office.ask(agent.version.spec.capabilities[0].name, prompt)) > 20
