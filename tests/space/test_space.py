"""Spaces are plain data, and what they count is exact."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise._core.errors import PlanError, SpecError, UnknownNameError
from edgewise.ir import ArchPlan, BlockChoice
from edgewise.space import SPACES, Space, Stage, block_counts, counts_of, load_space, rest_counts, space_from_json
from edgewise.space.catalog import PUBLISHED
from edgewise.space.drawing import crossed, draw_architecture, mutated, neighbours

IMAGENET = SPACES["imagenet"]
OPERATIONS = ((3, 3), (3, 6), (5, 3), (5, 6))
# Reference 3.4: block, then parameters and MACs of the four operations, in the order of OPERATIONS.
PUBLISHED_BLOCKS = {
    1: ((2592, 5136, 3360, 6672), (14601216, 29202432, 17009664, 34019328)),
    2: ((4440, 8832, 5592, 11136), (12870144, 25740288, 16482816, 32965632)),
    5: ((5624, 11168, 6776, 13472), (8184960, 16369920, 9088128, 18176256)),
    6: ((11240, 22400, 13160, 26240), (8373120, 16746240, 9878400, 19756800)),
    9: ((16120, 32080, 18040, 35920), (5856480, 11712960, 6232800, 12465600)),
    10: ((41680, 83200, 45520, 90880), (7949760, 15899520, 8702400, 17404800)),
    13: ((45552, 90912, 49392, 98592), (8702400, 17404800, 9455040, 18910080)),
    14: ((59232, 118272, 63840, 127488), (11346048, 22692096, 12249216, 24498432)),
    17: ((87072, 173760, 91680, 182976), (8255520, 16511040, 8481312, 16962624)),
    18: ((229056, 457728, 238272, 476160), (11092032, 22184064, 11543616, 23087232)),
}


class TestCounts:
    @pytest.mark.parametrize("position", PUBLISHED_BLOCKS)
    def test_every_block_row_of_the_reference(self, position: int) -> None:
        block = IMAGENET.blocks[position]
        found = [block_counts(block, BlockChoice(block=position, kernel=k, expansion=e)) for k, e in OPERATIONS]
        assert ([one.params for one in found], [one.macs for one in found]) == tuple(map(list, PUBLISHED_BLOCKS[position]))

    @pytest.mark.parametrize(
        ("plan", "params", "macs"),
        [
            (IMAGENET.largest, 4_833_768, 525_305_600),
            (IMAGENET.homogeneous(3, 6), 4_684_776, 472_620_800),
            (IMAGENET.homogeneous(5, 3), 3_568_824, 298_469_312),
            (IMAGENET.homogeneous(3, 3), 3_494_328, 272_126_912),
            (IMAGENET.smallest, 2_457_384, 117_233_600),
            (PUBLISHED["single-path-nas"], 4_421_616, 333_467_072),
            (PUBLISHED["mnasnet-b1"], 4_383_312, 314_415_872),
        ],
    )
    def test_whole_networks(self, plan: ArchPlan, params: int, macs: int) -> None:
        counts = counts_of(IMAGENET, plan)
        assert (counts.params, counts.macs) == (params, macs)

    def test_the_fixed_parts(self) -> None:
        fixed = rest_counts(IMAGENET)
        for position in (0, 21):
            fixed += block_counts(IMAGENET.blocks[position], IMAGENET.blocks[position].largest)
        assert (fixed.params, fixed.macs) == (2_300_424, 71_633_024)

    def test_architectures_are_counted_exactly(self) -> None:
        assert IMAGENET.n_architectures == 4**5 * 5**15
        assert [block.position for block in IMAGENET.searchable if not block.skippable] == [1, 5, 9, 13, 17]
        assert SPACES["digits"].n_architectures == 4 * 5 * 4 * 5

    def test_the_cifar_space_keeps_to_the_limits_of_the_issue(self) -> None:
        space = SPACES["cifar"]
        assert (space.stem_stride, space.total_stride) == (1, 8)
        assert counts_of(space, space.largest).macs <= 45_000_000


class TestRules:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"kernels": (4,)}, "must be odd"),
            ({"kernels": (5, 3)}, "must ascend"),
            ({"expansions": (1, 3)}, "1 stands alone"),
            ({"ses": (0.0, 2.0)}, r"must lie in \[0, 1\]"),
            ({"stride": 3}, "stride 1 or 2"),
            ({"depth": 0}, "depth >= 1"),
        ],
    )
    def test_stages(self, change: dict, said: str) -> None:
        with pytest.raises(SpecError, match=said):
            Stage(**{"width": 8, "depth": 2, **change})

    def test_images_below_the_total_stride_are_refused(self) -> None:
        with pytest.raises(SpecError, match="divides its images by 32, so they must be at least that large, got 16x16"):
            Space(
                name="s",
                input_shape=(1, 3, 16, 16),
                stem=8,
                stem_stride=2,
                stages=(Stage(width=8, depth=1, stride=2),) * 4,
                head=0,
                n_classes=2,
            )

    def test_a_plan_must_be_of_the_space(self) -> None:
        blocks = SPACES["digits"].largest.blocks
        with pytest.raises(PlanError, match="needs blocks 0 to 3, got"):
            SPACES["digits"].check(ArchPlan(blocks=blocks[:2]))
        first = BlockChoice(block=0, kernel=3, expansion=3, skip=True)
        with pytest.raises(PlanError, match="block 0 of space 'digits' may be 3x3-3, 3x3-6, 5x5-3, 5x5-6, got skip"):
            SPACES["digits"].check(ArchPlan(blocks=(first, *blocks[1:])))
        with pytest.raises(PlanError, match="got 7x7-6"):
            SPACES["digits"].check(ArchPlan(blocks=(BlockChoice(block=0, kernel=7, expansion=6), *blocks[1:])))


class TestFiles:
    def test_a_person_writes_one_in_a_few_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text(
            "input_shape = [1, 3, 32, 32]\nstem = 8\nn_classes = 10\n"
            "[[stages]]\nwidth = 16\ndepth = 2\nkernels = [3, 5, 7]\nses = [0.0, 0.25, 0.5]\n"
        )
        space = load_space(str(path))
        assert (space.name, space.n_architectures) == ("mine", 18 * 19)

    def test_channels_that_do_not_fit_are_named(self) -> None:
        value = SPACES["digits"].to_json()
        value["stages"][1]["in_channels"] = 12
        with pytest.raises(SpecError, match="inconsistent channels: stage 1 reads 12, but 8 are written before it"):
            space_from_json(value)

    def test_faults_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownNameError, match="did you mean cifar"):
            load_space("cifr")
        with pytest.raises(SpecError, match="no space file"):
            load_space(str(tmp_path / "none.toml"))
        path = tmp_path / "bad.toml"
        path.write_text("stem = [")
        with pytest.raises(SpecError, match="is not TOML"):
            load_space(str(path))
        path.write_text("stem = 8")
        with pytest.raises(SpecError, match="breaks a rule: input_shape: field required"):
            load_space(str(path))

    @pytest.mark.parametrize("name", SPACES)
    def test_json_comes_back(self, name: str) -> None:
        assert space_from_json(SPACES[name].to_json()) == SPACES[name]


class TestDrawing:
    @given(st.integers(0, 10**6))
    def test_what_is_drawn_belongs_to_the_space(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        space = SPACES["digits"]
        plan = draw_architecture(space, rng)
        other = mutated(space, plan, rng, rate=0.3)
        for one in (plan, other, crossed(plan, other, rng), *neighbours(space, plan)):
            space.check(one)
        assert ArchPlan.from_json(plan.to_json()) == plan

    def test_choices_are_equally_likely(self) -> None:
        rng = np.random.default_rng(0)
        labels = [draw_architecture(SPACES["digits"], rng).blocks[1].label for _ in range(2000)]
        shares = [labels.count(choice.label) / 2000 for choice in SPACES["digits"].blocks[1].choices]
        assert len(shares) == 5 and max(abs(share - 0.2) for share in shares) < 0.04

    def test_neighbours_differ_in_one_block(self) -> None:
        space = SPACES["digits"]
        found = [
            sum(a.label != b.label for a, b in zip(space.largest.blocks, one.blocks, strict=True))
            for one in neighbours(space, space.largest)
        ]
        assert found == [1] * (3 + 4 + 3 + 4)


def test_widths_come_from_candidates() -> None:
    space = SPACES["digits"].snapped({1: (12, 20)})
    assert [stage.width for stage in space.stages] == [8, 20]
    with pytest.raises(SpecError, match="has 2 stages, got 1 widths"):
        SPACES["digits"].with_widths((8,))
