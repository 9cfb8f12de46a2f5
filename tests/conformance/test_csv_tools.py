"""The bundled csv-tools read tables of other programs and countries: right numbers, and a word on all that is left out."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caxton.domain.tools import ToolResult, ToolVersion
from tests.support.bench import Bench, new_bench
from tests.support.tools import BUNDLED_TOOLS

FOLDER = BUNDLED_TOOLS / "csv-tools"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[Bench]:
    """One for all tests of the tool, which differ in what they ask."""
    with new_bench(tmp_path_factory.mktemp("csv-tools"), compiled) as found:
        yield found


@pytest.fixture(scope="module")
async def csv_tools(bench: Bench) -> ToolVersion:
    manifest = tomllib.loads((FOLDER / "tool.toml").read_text())
    module = (FOLDER / "csv-tools.wasm").read_bytes()
    del manifest["module"], manifest["form"]
    files = {
        "data/empty.csv": b"",
        "data/blank.csv": b"\xef\xbb\xbf\r\n \r\n",
        "data/excel.csv": "Datum;Betrag\r\n05.01.2026;1.234,50\r\n".encode("utf-16"),
        "data/ansi.csv": "Käufer;Betrag\n".encode("cp1252"),
    }
    return await bench.tool(module, files=files, **manifest)


@pytest.fixture
def use(bench: Bench, csv_tools: ToolVersion) -> Any:
    async def call(function: str, csv: str | None = None, **arguments: Any) -> ToolResult:
        given = {"csv": csv} if csv is not None else {}
        return await bench.call(csv_tools, function, **given, **arguments)

    return call


def column(*values: str, delimiter: str = ";", name: str = "amount") -> str:
    return "\n".join(
        [f"day{delimiter}{name}", *(f"d{number}{delimiter}{value}" for number, value in enumerate(values))]
    )


@pytest.mark.parametrize(
    ("csv", "total"),
    [
        ("Datum;Betrag, netto\n2026-01-05;10,50\n2026-01-06;20,25", 30.75),
        ("Datum;Betrag\n2026-01-05;1.234,50\n2026-01-06;3.000\n2026-01-07;12.500", 16734.5),
        (column("1000.00", "(250.00)", "500"), 1250),
        (column("100", "40-", "−30"), 30),
        (column("1.234", "2.500", "0.5"), 4.234),  # a point is shown to be decimal
        (column("1.234", "2.500", "0,5"), 3734.5),
        (column('"1,234.50"', '"2,000"', delimiter=","), 3234.5),
        (column('"1.234,50"', '"3.000"', "7", delimiter=","), 4241.5),
        (column("1 234,50", "1\u00a0000", "1\u202f000,25"), 3234.75),
        (column("1'234.50", "1’000", delimiter=","), 2234.5),
        (column("12,34,567.50", "1,00,000", delimiter="|"), 1334567.5),
        (column("1.234.567", "1.000"), 1235567),
        (column("€ 1.000,50", "-5,00 €", "EUR 2,00", "(1,00 €)"), 996.5),
        (column("$1,000.50", "-$5", "$-5", "($5.50)", delimiter="\t"), 985),
        (column("12,5 %", "7,5\u00a0%"), 20),
        (column("5.–", "12.-", "100,--"), 117),
        (column("١٢٣٫٥", "１２", "१०"), 145.5),
        (column("+5", "\u200e-2\u200f", "\u00a03\u00a0"), 6),
        (column("1.5e3", "1E+2"), 1600),
        ("sep=;\r\nDatum;Betrag\r\n05.01.2026;1,5\r\n06.01.2026;2,5\r\n", 4),
        ("\ufeffBetrag\t\ufeffX \n1,5\ta\n2,25\tb", 3.75),
        ("id;b;\n1;2,5;\n2;3,5\n3;4;;", 10),
        ("Konto;DE00\nStand:\n\nTag;Text;Betrag;Saldo\n01.02.2026;a;1,5;9\n02.02.2026;b;2,5;9\n03.02.2026;c;2;9", 6),
        ("Jahr;Umsatz\n2024;100,5\n2025;200", 300.5),
        ("PLZ;Betrag\n10115;5\n20095;6", 11),
        ('id;note;amount\n1;"a;b";2,5\n2;"c ""d""";1', 3.5),
        ("day,amount\rmon,1\rtue,2", 3),
        ("Betrag\n0,5\n1,5", 2),
        ("n\n1\n2", 3),
        (column("0.001", "0.0005", delimiter=","), 0.0015),
    ],
)
async def test_the_numbers_are_those_that_a_person_reads(use: Any, csv: str, total: float) -> None:
    result = await use("summarize", csv)
    assert not result.is_error, result.text()
    assert result.structured["total"] == pytest.approx(total)
    assert f"total {total:.4f}".rstrip("0").rstrip(".") in result.text()
    assert "left out, without" not in result.text()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1", "", "3"], "1 row left out, without a value"),
        (["1", "40 pcs", "3"], "1 row left out, without a number (line 3: '40 pcs')"),
        (["1", "n/a", "forty"], "2 rows left out, 1 without a value and 1 without a number (line 4: 'forty')"),
        (["10,50", "10.50", "1.234"], "line 4: '1.234'"),
        (["10,50", "10.50"], "mixes decimal points and decimal commas"),
        (["10 %", "0,2"], "values in % and in no unit were added up"),
        (["5", "#DIV/0!"], "1 row left out, without a number (line 3: '#DIV/0!')"),
        (["$5", "€5"], "values in $ and in € were added up"),
        (["3.000", "12.500"], "was read with a decimal comma, though nothing in the table shows which: 3.000 is 3000"),
    ],
)
async def test_what_is_left_out_or_doubtful_is_told(use: Any, values: list[str], told: str) -> None:
    assert told in (await use("summarize", column(*values))).text()


async def test_one_unit_in_two_ways_is_no_doubt(use: Any) -> None:
    assert "as if they were the same" not in (await use("summarize", column("USD 5", "$7"))).text()


async def test_a_total_among_the_rows_is_told(use: Any) -> None:
    text = (await use("summarize", "item;amount\na;1\nb;2\nSumme:;3")).text()
    assert "line 4 looks like a total and was added up too" in text


async def test_lines_that_do_not_fit_are_told(use: Any) -> None:
    text = (await use("summarize", "a,b\n1,2\n1,2,3\n4,5")).text()
    assert "1 bad row: line 3 has 3 fields, the header has 2" in text


async def test_the_text_has_what_the_structure_has(use: Any) -> None:
    """A model reads the text."""
    assert (await use("filter", "a,b\n1,x\n2,y\n3,z", column="a", op=">", value=1)).text().endswith("a,b\n2,y\n3,z")
    assert (await use("parse", "a,b\n1,x\n2,y", first_rows=1)).text().endswith("\na,b\n1,x")
    assert (await use("summarize", "m,v\na,1\nb,2\na,3")).text().endswith("\na: 4\nb: 2")


@pytest.mark.parametrize(
    ("csv", "wanted", "kept"),
    [
        ("zip;x\n01067;a\n10115;b", {"column": "zip", "op": "=", "value": "01067"}, ["01067;a"]),
        ("zip;x\n01067;a\n1067;b", {"column": "zip", "op": "=", "value": "1067"}, ["1067;b"]),
        ('zip;x\n="01067";a\n10115;b', {"column": "zip", "op": "=", "value": "01067"}, ["01067;a"]),
        (
            "card,x\n4111111111111111,a\n4111111111111112,b",
            {"column": "card", "op": "=", "value": "4111111111111112"},
            ["4111111111111112,b"],
        ),
        ("code,x\n12E4,a\n120000,b", {"column": "code", "op": "=", "value": "12E4"}, ["12E4,a"]),
        ("n;x\n1.234,50;a\n99;b", {"column": "n", "op": ">", "value": 100}, ["1.234,50;a"]),
        ("n;x\n1.234,50;a\n99;b", {"column": "n", "op": "=", "value": "1234.50"}, ["1.234,50;a"]),
        ("n;x\n1.500;a\n99,5;b", {"column": "n", "op": "=", "value": "1.500"}, ["1.500;a"]),
        ("d;x\n31.01.2026;a\n01.02.2026;b", {"column": "d", "op": ">=", "value": "2026-02-01"}, ["01.02.2026;b"]),
        ("d;x\n31.01.26;a\n01.02.26;b", {"column": "d", "op": "<", "value": "01.02.2026"}, ["31.01.26;a"]),
        ("d,x\n1/31/2026,a\n2/1/2026,b", {"column": "d", "op": ">", "value": "2026-01-31"}, ["2/1/2026,b"]),
        (
            "d,x\n2026-01-05T10:00,a\n2026-01-05T11:00,b",
            {"column": "d", "op": ">", "value": "2026-01-05T10:30"},
            ["2026-01-05T11:00,b"],
        ),
    ],
)
async def test_rows_are_kept_by_what_their_cells_mean(
    use: Any, csv: str, wanted: dict[str, Any], kept: list[str]
) -> None:
    result = await use("filter", csv, **wanted)
    assert result.structured["csv"].split("\n")[1:-1] == kept


async def test_dates_that_may_be_two_days_are_not_guessed(use: Any) -> None:
    refused = await use("filter", "d,x\n1/2/2026,a\n3/4/2026,b", column="d", op=">", value="2026-02-01")
    assert refused.is_error
    assert "may begin with the day or with the month" in refused.text()


async def test_texts_stay_texts(use: Any) -> None:
    result = await use(
        "parse", "zip;land;name;phone\n01067;NA;None;+4930123456\n10115;DE;Smith;+49301234567", first_rows=2
    )
    assert result.structured["first_rows"][0] == {"zip": "01067", "land": "NA", "name": "None", "phone": "+4930123456"}
    assert {each["name"]: each["type"] for each in result.structured["columns"]} == dict.fromkeys(
        ("zip", "land", "name", "phone"), "text"
    )


@pytest.mark.parametrize("file", ["empty.csv", "blank.csv"])
async def test_an_empty_file_is_an_empty_table(use: Any, file: str) -> None:
    result = await use("read_csv", path=file)
    assert result.structured == {"csv": "", "columns": [], "rows": 0, "bad_rows": 0}
    assert "is empty: no columns, no rows" in result.text()


async def test_files_of_other_encodings_are_read_or_refused_in_words(use: Any) -> None:
    assert (await use("read_csv", path="excel.csv")).structured["csv"].startswith("Datum;Betrag\r\n05.01.2026;1.234,50")
    refused = await use("read_csv", path="ansi.csv")
    assert refused.is_error
    assert (
        refused.text() == 'cannot read /data/ansi.csv: it is not UTF-8 text: save it as UTF-8 (in Excel: "CSV UTF-8")'
    )


async def test_an_empty_text_is_told_in_words(use: Any) -> None:
    refused = await use("summarize", "")
    assert (refused.is_error, refused.text()) == (True, "the CSV is empty")


async def test_a_large_table_is_no_burden(use: Any) -> None:
    rows = "\n".join(
        f"2026-01-{number % 28 + 1:02};Haus {number};{number % 900 + 1}.234,50" for number in range(60_000)
    )
    result = await use("summarize", f"Tag;Text;Betrag\n{rows}")
    assert len(result.structured["labels"]) == 28
    assert result.usage.fuel < 3_000_000_000
