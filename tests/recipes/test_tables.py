"""Tables of the tutorial."""

from types import MappingProxyType

import pytest

from edgewise._core.errors import UnknownNameError
from edgewise._core.progress import Progress
from edgewise.cli import main
from edgewise.recipes import tables
from edgewise.recipes.tables import Row, make_tables, tables_to_json


def _rows(_: Progress) -> tuple[Row, ...]:
    return (Row(table="nas-1", row="ours", column="latency, ms", quoted=79.5, simulated=None, measured=80.25, note="phone"),)


@pytest.fixture
def one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "TABLES", MappingProxyType({"nas-1": _rows}))


@pytest.mark.usefixtures("one_table")
def test_a_row_keeps_its_three_kinds_of_figure() -> None:
    assert tables_to_json(make_tables(("nas-1",)))["rows"] == [
        {"table": "nas-1", "row": "ours", "column": "latency, ms", "quoted": 79.5, "simulated": None, "measured": 80.25, "note": "phone"}
    ]


@pytest.mark.usefixtures("one_table")
def test_an_unknown_table_names_the_known() -> None:
    with pytest.raises(UnknownNameError, match="no table gpu-2 yet; known: nas-1"):
        make_tables(("gpu-2",))


@pytest.mark.usefixtures("one_table")
def test_tables_are_printed_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--only", "nas-1"]) == 0
    assert "nas-1  ours  latency, ms    79.5          —     80.25  phone" in capsys.readouterr().out
