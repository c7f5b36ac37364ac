"""Parts that hold the same share of every class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise._core.errors import DataError
from edgewise.train.data.splitting import stratified_split


@given(st.lists(st.integers(2, 60), min_size=1, max_size=6), st.floats(0.05, 0.6), st.integers(0, 5))
def test_parts_are_disjoint_complete_and_stratified(sizes: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    kept, held = stratified_split(labels, share, rng=np.random.default_rng(seed))
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    for label, size in enumerate(sizes):
        assert (labels[held] == label).sum() == min(max(1, round(share * size)), size - 1)


def test_another_seed_holds_out_others() -> None:
    labels = np.zeros(100, dtype=np.int64)
    first, again, other = (stratified_split(labels, 0.1, rng=np.random.default_rng(seed))[1].tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_class_of_one_is_refused() -> None:
    with pytest.raises(DataError, match=r"at least 2 training images.*got 1 of class 3"):
        stratified_split(np.array([0, 0, 3]), 0.1, rng=np.random.default_rng(0))
