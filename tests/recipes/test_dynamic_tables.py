"""Table I and Figures 2 and 4 of the dynamic-pruning part."""

import pytest

from edgewise._core.errors import UsageError
from edgewise._core.progress import SilentProgress
from edgewise.recipes.tables import PICTURES, TABLES, Row, dynamic_fig2, dynamic_fig4, dynamic_i


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, str], Row]:
    return {(row.row, row.column): row for row in TABLES["dynamic-I"](SilentProgress())}


def test_published_and_counted_stand_beside_each_other(table: dict[tuple[str, str], Row]) -> None:
    for row, printed, ours in (
        ("VGG16 CIFAR10, proposed", 53.5, 55.14),
        ("VGG16 CIFAR100, proposed S1", 40.4, 40.38),
        ("VGG16 CIFAR100, proposed S2", 44.9, 44.90),
        ("VGG16 ImageNet100, proposed S1", 51.2, 51.22),
        ("VGG16 ImageNet100, proposed S2", 54.5, 54.54),
        ("ResNet56 CIFAR10, proposed", 37.4, 38.58),
    ):
        assert table[(row, "reduction, %")].quoted == printed
        counted = table[(f"{row}, edgewise", "reduction, %")]
        assert counted.measured is not None and round(counted.measured, 2) == ours and counted.quoted is None
    assert table[("VGG16 CIFAR10, proposed, edgewise", "baseline MACs")].measured == 313_196_544
    assert table[("VGG16 CIFAR10, proposed, edgewise", "MACs executed")].measured == 141_852_672


def test_every_printed_row_is_there_and_nothing_is_mixed(table: dict[tuple[str, str], Row]) -> None:
    assert len(dynamic_i.PUBLISHED) == 16
    for row in table.values():
        assert row.quoted is None or row.measured is None
        assert ("edgewise" in row.row) == (row.quoted is None) and row.note


def test_inconsistencies_are_said(table: dict[tuple[str, str], Row]) -> None:
    assert "the drop is 1.9" in table[("VGG16 ImageNet100, L1", "drop, points")].note
    assert "53.35" in table[("VGG16 CIFAR10, proposed", "reduction, %")].note
    assert "not the authors'" in table[("VGG16 CIFAR100, proposed S1, edgewise", "reduction, %")].note
    static = table[("VGG16 CIFAR10, static vector, edgewise", "MACs")]
    assert static.measured == pytest.approx(1.849e8, rel=3e-4)


def test_drops_of_printed_rows_are_their_arithmetic_but_for_two() -> None:
    wrong = [name for name, row in dynamic_i.PUBLISHED.items() if abs(row.base_accuracy - row.accuracy - row.drop) > 0.051]
    assert wrong == ["VGG16 ImageNet100, L1", "VGG16 ImageNet100, Taylor"]


KNOWN = {
    "images": 500,
    "dense_test": 0.9,
    "rankings": [
        {"ranking": "attention", "ratio": 0.5, "seed": 0, "accuracy": 0.8},
        {"ranking": "random", "ratio": 0.5, "seed": 0, "accuracy": 0.1},
        {"ranking": "random", "ratio": 0.5, "seed": 1, "accuracy": 0.2},
    ],
    "sweep": {"dense": 0.9, "images": 400, "points": [{"block": 0, "side": "static", "ratio": 0.5, "accuracy": 0.6}]},
    "redundancy": [{"tolerance": 0.01, "side": "channels", "swept": [0.1, 0.5], "largest": [0.1, 0.2, 0.3, 0.4, 0.5]}],
}


def test_figure_2_draws_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_fig2, "measured", lambda: KNOWN)
    rows = {row.row: row for row in dynamic_fig2.rows(SilentProgress())}
    assert rows["random, 50% pruned"].measured == pytest.approx(15.0) and rows["attention, 50% pruned"].measured == 80.0
    picture = dynamic_fig2.picture()
    assert picture.startswith("<svg") and ">attention<" in picture and ">random<" in picture and "dynamic-fig2" in PICTURES


def test_figure_4_puts_our_blocks_beside_the_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_fig4, "measured", lambda: KNOWN)
    rows = dynamic_fig4.rows(SilentProgress())
    assert [row.quoted for row in rows[:5]] == pytest.approx([20, 20, 60, 90, 90])
    assert [row.measured for row in rows if row.measured is not None] == pytest.approx([90, 60, 10, 20, 30, 40, 50])
    assert "block 1, channels, for all inputs, 50% pruned, edgewise" in {row.row for row in rows}


def test_what_was_not_measured_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dynamic_fig2, dynamic_fig4):
        monkeypatch.setattr(module, "measured", dict)
        assert "not measured yet" in module.rows(SilentProgress())[-1].note
    with pytest.raises(UsageError, match="was not measured yet"):
        dynamic_fig2.picture()
