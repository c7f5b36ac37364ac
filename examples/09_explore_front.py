"""One front over narrower widths and pruning for each input, within a time, on data that comes with scikit-learn.

Run ``python examples/09_explore_front.py``.
"""

import argparse
import tempfile
from pathlib import Path

import edgewise
from edgewise.models.weights import save_weights
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import FineTune, fine_tune


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    smoke = arguments.parse_args().smoke

    with tempfile.TemporaryDirectory() as folder:
        # A study begins with a trained network.
        weights = Path(folder) / "weights.safetensors"
        dense = fine_tune(edgewise.load("digits-cnn").model, open_data(DataSpec(text="digits")), config=FineTune(epochs=1 if smoke else 10))
        save_weights(dense.model, weights)

        found = edgewise.explore(
            "digits-cnn",
            weights=weights,
            data="digits",
            budget=None if smoke else "5min",
            trials=2 if smoke else None,
            latencies=["0.8x"] if smoke else ["0.9x", "0.8x", "0.7x"],
            epochs=1 if smoke else 3,
            out=Path(folder) / "study",
            db=Path(folder) / "latency.sqlite",
        )
        print(found)
        for row in found.front:
            print(f"{row['method']:18} {row['ratio']:.2f}x of the time, {row['accuracy_validation']:.1%} of the validation images")


if __name__ == "__main__":
    main()
