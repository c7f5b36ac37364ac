"""Convolutions over what each input keeps, against hand-worked numbers and masked dense convolutions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise._core.errors import SpecError, UsageError
from edgewise.dynamic import gate_masks
from edgewise.dynamic.running.reference import run_reference
from edgewise.ir.gates import Gate
from edgewise.kernels import CompiledChain, Program, Step, variants
from edgewise.testing.sparse_chains import check, draw

needs_kernels = pytest.mark.skipif(not variants(), reason="no C++ compiler here")
pytestmark = needs_kernels


def _pixelwise(*, kept_channels: int, kept_positions: int, path: int = 0) -> CompiledChain:
    """A 1x1 convolution of 2 channels onto 1, with weights 1 and 10."""
    step = Step(source=0, out_channels=1, kept_channels=kept_channels, kept_positions=kept_positions, path=path)
    program = Program(channels=2, height=1, width=2, steps=(step,))
    return CompiledChain(program, [np.array([1, 10], np.float32).reshape(1, 2, 1, 1)], [np.zeros(1, np.float32)])


@pytest.mark.parametrize("path", [1, 2, 3])
def test_kept_channels_by_hand(path: int) -> None:
    maps = np.array([[[[1, 2]], [[4, 0]]], [[[5, 2]], [[4, 0]]]], np.float32)  # means 1.5 and 2; 3.5 and 2
    assert _pixelwise(kept_channels=1, kept_positions=2, path=path).run(maps).tolist() == [[[[40, 0]]], [[[5, 2]]]]


@pytest.mark.parametrize("path", [1, 2, 3])
def test_kept_positions_by_hand(path: int) -> None:
    maps = np.array([[[[1, 2]], [[4, 0]]]], np.float32)  # means 2.5 and 1
    assert _pixelwise(kept_channels=2, kept_positions=1, path=path).run(maps).tolist() == [[[[41, 0]]]]


def test_both_masks_come_from_the_whole_map() -> None:
    maps = np.array([[[[3, 0]], [[0, 4]]]], np.float32)  # channel 1 has the larger mean, position 1 too
    assert _pixelwise(kept_channels=1, kept_positions=1).run(maps).tolist() == [[[[0, 40]]]]


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**31), threads=st.integers(1, 3), place=st.integers(0, 2))
def test_equals_the_masked_dense_convolution(seed: int, threads: int, place: int) -> None:
    names = variants()
    difference = check(draw(np.random.default_rng(seed)), variant=names[place % len(names)], threads=threads)
    assert difference < 1e-5


def _stack(side: int, *, kept: tuple[int, int], channels: int = 24, layout: int = 0) -> CompiledChain:
    rng = np.random.default_rng(5)
    steps = tuple(
        Step(
            source=place,
            out_channels=channels,
            kernel=(3, 3),
            padding=(1, 1),
            relu=1,
            kept_channels=kept[0] if place else channels,
            kept_positions=kept[1] if place else side * side,
            path=(0, 2, 3)[place],
        )
        for place in range(3)
    )
    program = Program(channels=channels, height=side, width=side, layout=layout, steps=steps)
    weights = [rng.standard_normal((channels, channels, 3, 3), dtype=np.float32) / 8 for _ in steps]
    return CompiledChain(program, weights, [np.zeros(channels, np.float32)] * 3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), threads=st.integers(1, 3), place=st.integers(0, 2))
def test_many_channels_are_taken_in_groups(seed: int, threads: int, place: int) -> None:
    names = variants()
    drawn = draw(np.random.default_rng(seed), most_channels=200, most_side=7)
    assert check(drawn, variant=names[place % len(names)], threads=threads) < 1e-5


_ALONE_AND_TOGETHER = ("x..x.x......", "xx.xxxxx.xxx", "............", "...........x", "xxxxxxxxxxxx")


@pytest.mark.parametrize("kept_channels", [2, 3])
@pytest.mark.parametrize("out_channels", [5, 32, 48, 64])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_kept_positions_alone_and_side_by_side(place: int, out_channels: int, kept_channels: int) -> None:
    rng = np.random.default_rng(0)
    kept = np.array([[letter == "x" for letter in row] for row in _ALONE_AND_TOGETHER])
    maps = (rng.random((1, 3, *kept.shape)) * np.where(kept, 1, 1e-3) + np.where(kept, 1, 0)).astype(np.float32)
    weights = rng.standard_normal((out_channels, 3, 3, 3), dtype=np.float32)
    bias = rng.standard_normal(out_channels, dtype=np.float32)
    kept_positions = int(kept.sum())
    step = Step(
        source=0,
        out_channels=out_channels,
        kernel=(3, 3),
        padding=(1, 1),
        kept_channels=kept_channels,
        kept_positions=kept_positions,
        path=3,
    )
    program = Program(channels=3, height=kept.shape[0], width=kept.shape[1], steps=(step,))
    names = variants()
    chain = CompiledChain(program, [weights], [bias], variant=names[place % len(names)])
    channels = np.sort(np.argsort(-maps[0].mean((1, 2)))[:kept_channels])
    source = torch.from_numpy(maps[:, channels] * kept)
    wanted = torch.nn.functional.conv2d(source, torch.from_numpy(weights[:, channels]), torch.from_numpy(bias), padding=1).numpy()
    np.testing.assert_allclose(chain.run(maps), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("channels", "side", "kept"), [(24, 20, (9, 150)), (144, 6, (70, 20))])
def test_threads_change_nothing_not_even_the_last_bit(channels: int, side: int, kept: tuple[int, int]) -> None:
    maps = np.random.default_rng(1).random((2, channels, side, side), dtype=np.float32)
    chain = _stack(side, kept=kept, channels=channels)
    outputs = [chain.run(maps, threads=threads) for threads in (1, 2, 3, 1)]
    assert all(np.array_equal(outputs[0], other) for other in outputs[1:])


def test_each_image_of_a_batch_keeps_its_own() -> None:
    maps = np.random.default_rng(2).random((5, 24, 10, 10), dtype=np.float32)
    chain = _stack(10, kept=(5, 30))
    alone = np.concatenate([chain.run(maps[place : place + 1]) for place in range(5)])
    assert np.array_equal(chain.run(maps, threads=2), alone)


def test_both_layouts_agree() -> None:
    maps = np.random.default_rng(3).random((2, 24, 10, 10), dtype=np.float32)
    wide = _stack(10, kept=(5, 30), layout=1).run(np.ascontiguousarray(maps.transpose(0, 2, 3, 1)))
    assert np.array_equal(wide.transpose(0, 3, 1, 2), _stack(10, kept=(5, 30)).run(maps))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), kept=st.integers(1, 20), positions=st.integers(1, 36), place=st.integers(0, 2))
def test_masks_are_exactly_the_gates(seed: int, kept: int, positions: int, place: int) -> None:
    # Small whole numbers: sums are exact, and ties abound.
    maps = np.random.default_rng(seed).integers(0, 3, (3, 20, 6, 6)).astype(np.float32)
    step = Step(source=0, out_channels=2, kept_channels=kept, kept_positions=positions)
    program = Program(channels=20, height=6, width=6, steps=(step,))
    name = variants()[place % len(variants())]
    chain = CompiledChain(program, [np.ones((2, 20, 1, 1), np.float32)], [np.zeros(2, np.float32)], variant=name)
    _, masks = chain.run_masks(maps)
    gate = Gate(
        consumer="", producer="", block=0, channels=20, hw=(6, 6), channel_ratio=(20 - kept) / 20, spatial_ratio=(36 - positions) / 36
    )
    channels, places = gate_masks(torch.from_numpy(maps), gate)
    if kept < 20 or positions < 36:
        assert np.array_equal(masks[0][0], channels.numpy()) and np.array_equal(masks[0][1], places.numpy())
    else:
        assert masks == {}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("path", [1, 2, 3])
def test_numbers_that_are_none_go_through_as_in_the_dense_network(value: float, path: int) -> None:
    step = Step(source=0, out_channels=3, kernel=(3, 3), padding=(1, 1), relu=1, pool=1, kept_channels=4, kept_positions=36, path=path)
    program = Program(channels=8, height=6, width=6, steps=(step,))
    rng = np.random.default_rng(0)
    weights, bias = rng.standard_normal((3, 8, 3, 3), dtype=np.float32), np.zeros(3, np.float32)
    maps = rng.random((2, 8, 6, 6), dtype=np.float32)
    maps[0, 2, 3, 3] = value
    found = CompiledChain(program, [weights], [bias]).run(maps)
    wanted = run_reference(program, torch.from_numpy(maps), [torch.from_numpy(weights)], [torch.from_numpy(bias)]).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": 3}, "earlier map"),
        ({"kept_channels": 5}, r"kept channels must lie in 1\.\.channels"),
        ({"kept_positions": 0}, "kept positions must lie in 1"),
        ({"kernel": (9, 9)}, "kernel must fit the padded map"),
        ({"residual": 0, "out_channels": 3}, "the shape of the convolution's output"),
        ({"pool": 1, "stride": (4, 4)}, "at least 2x2"),
    ],
)
def test_wrong_descriptions_say_the_rule(changes: dict[str, object], message: str) -> None:
    values: dict[str, object] = {"source": 0, "out_channels": 4, "kept_channels": 4, "kept_positions": 16, **changes}
    step = Step(**values)  # type: ignore[arg-type]
    program = Program(channels=4, height=4, width=4, steps=(step,))
    weights = [np.zeros((step.out_channels, 4, *step.kernel), np.float32)]
    with pytest.raises(SpecError, match=message):
        CompiledChain(program, weights, [np.zeros(step.out_channels, np.float32)])


def test_a_stride_of_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"must be at least 1 and padding not negative, got \(1, 1\), \(0, 1\)"):
        Step(source=0, out_channels=4, stride=(0, 1))


def test_wrong_arrays_are_refused() -> None:
    chain = _pixelwise(kept_channels=1, kept_positions=2)
    with pytest.raises(UsageError, match=r"`maps` must be float32 of shape \(n, 2, 1, 2\), got float32 of \(1, 3, 1, 2\)"):
        chain.run(np.zeros((1, 3, 1, 2), np.float32))
    with pytest.raises(UsageError, match="`threads` must be at least 1, got 0"):
        chain.run(np.zeros((1, 2, 1, 2), np.float32), threads=0)
    step = Step(source=0, out_channels=1, kept_channels=2, kept_positions=2)
    program = Program(channels=2, height=1, width=2, steps=(step,))
    with pytest.raises(SpecError, match=r"weights must have the shape \(1, 2, 1, 1\)"):
        CompiledChain(program, [np.zeros((1, 3, 1, 1), np.float32)], [np.zeros(1, np.float32)])
    with pytest.raises(SpecError, match=r"the variant must be one of .*portable, got sse9"):
        CompiledChain(program, [np.zeros((1, 2, 1, 1), np.float32)], [np.zeros(1, np.float32)], variant="sse9")


def test_an_empty_batch_is_no_fault() -> None:
    assert _pixelwise(kept_channels=1, kept_positions=2).run(np.zeros((0, 2, 1, 2), np.float32)).shape == (0, 1, 1, 2)


def test_programs_survive_as_integers() -> None:
    case = draw(np.random.default_rng(7))
    assert Program.from_ints(case.program.ints()) == case.program
    with pytest.raises(SpecError, match="format 1"):
        Program.from_ints([2, 1, 1, 1, 0, 0])
