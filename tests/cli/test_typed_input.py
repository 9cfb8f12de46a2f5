"""`caxton ask --input`: the object of a capability with a schema, from files, standard input and single values."""

import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.support.deploying import write_files

FILES: dict[str, str | bytes] = {
    "agents/pricer.toml": """
name = "pricer"
version = "1.0.0"
model = "scripted"
script = "pricer.script.toml"
[[capabilities]]
name = "price"
[capabilities.input]
type = "object"
required = ["sku", "quantity"]
properties = { sku = { type = "string" }, quantity = { type = "integer" }, note = { type = "string" } }
[capabilities.output]
type = "object"
properties = { total = { type = "integer" } }
""",
    "agents/pricer.script.toml": """
[[rules]]
[[rules.steps]]
data = { total = "{{ input.quantity * 5 }}", sku = "{{ input.sku }}" }
""",
}


@pytest.fixture
def pricer(run_cli: RunCli, folder: Path) -> RunCli:
    write_files(folder, FILES)
    assert run_cli("deploy").code == 0
    return run_cli


@pytest.mark.requirement("RTE-9")
def test_values_are_read_as_the_schema_wants_them(pricer: RunCli) -> None:
    asked = pricer("ask", "price", "--input", "sku=12345", "-i", "quantity=2")
    assert asked.code == 0, asked.err
    assert json.loads(asked.out) == {"total": 10, "sku": "12345"}
    assert pricer("ask", "price", "-i", "sku=a", "-i", "quantity=2", "--json").data["reply"]["data"]["total"] == 10


@pytest.mark.requirement("RTE-9")
def test_input_comes_from_a_file_and_from_stdin(pricer: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "order.json").write_text('{"sku": "b", "quantity": 1}')
    assert json.loads(pricer("ask", "price", "--input", "order.json").out)["total"] == 5
    assert json.loads(pricer("ask", "price", "-i", "order.json", "-i", "quantity=4").out)["total"] == 20
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"sku": "c", "quantity": 3}')))
    assert json.loads(pricer("ask", "price", "-i", "-").out) == {"total": 15, "sku": "c"}


@pytest.mark.requirement("RTE-9")
def test_what_does_not_fit_is_told_with_its_path(pricer: RunCli) -> None:
    refused = pricer("ask", "price", "-i", "sku=a", "-i", "quantity=many")
    assert refused.code == 3
    assert 'the input does not fit capability "price": /quantity' in refused.err
    assert "caxton capabilities price --json" in refused.err
    assert pricer("capabilities", "price", "--json").data["capabilities"][0]["input"]["required"] == ["sku", "quantity"]


def test_an_input_that_is_none_is_told_before_anything_is_sent(pricer: RunCli, folder: Path) -> None:
    (folder / "list.json").write_text("[]")
    for arguments, told in (
        (("-i", "orders.json"), "neither a file nor key=value"),
        (("-i", "list.json"), "has no JSON object"),
        (("some text", "-i", "sku=a"), "a request is one of them"),
    ):
        refused = pricer("ask", "price", *arguments)
        assert refused.code == 2, refused.err
        assert told in refused.err
