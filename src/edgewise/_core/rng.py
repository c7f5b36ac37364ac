"""Random generators: always an argument, never a global seed."""

import numpy as np


def make_rng(seed: int, *keys: int | str) -> np.random.Generator:
    """A generator that depends on the seed and on what it is for.

    Two callers with different ``keys`` draw independent numbers from one user-visible seed.

    Args:
        seed: The seed a user gave; not negative.
        keys: What the numbers are for, for example ``"validation-split"``.

    Example:
        >>> int(make_rng(0, "split").integers(100)) == int(make_rng(0, "split").integers(100))
        True
    """
    words = [int.from_bytes(str(key).encode()[:64], "little") for key in keys]
    return np.random.default_rng([seed, *words])
