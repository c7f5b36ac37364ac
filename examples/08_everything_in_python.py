"""From a name to a file for a runtime in a few lines: look, fit to a latency, train, compare, export.

Run ``python examples/08_everything_in_python.py``. The data comes with scikit-learn; nothing is kept.
"""

import argparse
import tempfile
from pathlib import Path

import edgewise


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    smoke = arguments.parse_args().smoke

    seen = edgewise.inspect("digits-cnn")
    print(f"{seen.model}: {seen.macs:,} MACs, widths of {len(seen.ties)} ties may be chosen")
    abroad = edgewise.simulate("digits-cnn", device="titan-v", batch=64)
    print(f"{abroad.latency_s * 1e6:.0f} us simulated on {abroad.device}")

    with tempfile.TemporaryDirectory() as folder:
        run, db = Path(folder) / "run", Path(folder) / "latency.sqlite"
        # Weights of a trained network would be given by `weights=`; this one learns from its first draws.
        brief = {"epochs": 0.1, "only": "block2.conv1", "calibrate": False} if smoke else {}
        fitted = edgewise.fit("digits-cnn", latency="0.98x" if smoke else "0.8x", data="digits", out=run, db=db, **brief)
        print(fitted)
        # A result, a run folder and a name are all networks.
        print(edgewise.bench("digits-cnn", run, db=db))
        print(edgewise.export(fitted, Path(folder) / "digits.onnx", db=db))
        print(fitted.plan)


if __name__ == "__main__":
    main()
