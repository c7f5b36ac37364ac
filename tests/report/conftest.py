"""Results as `fit`, `profile` and `bench` write them. All figures here are synthetic."""

import math
import os
import random
import shutil
from typing import Any

import pytest

_BEFORE = (35, 35, 70, 70, 140, 140, 140, 112, 112, 112, 112, 112, 512)
_AFTER = (32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 128, 128, 512)
_AREA = (32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2)
_REASONS = ("", "", "off its step: 70 runs as 80", "", "", "", "memory-bound: reading the weights takes most of the time", "")


def _layer(name: str, *, in_width: int, width: int, area: int, tie: str, rng: random.Random) -> dict[str, Any]:
    widths = sorted({max(1, round(width * share)) for share in (0.25, 0.5, 0.75, 1.0, 1.25)} | set(range(16, width * 5 // 4 + 1, 16)))
    envelope = [4e-6 + 2.4e-9 * in_width * math.ceil(width / 16) * 16 * area**1.5 / 8 for width in widths]
    raw = [value * (1 + abs(rng.gauss(0, 0.02))) for value in envelope]
    return {
        "name": name,
        "tie": tie,
        "in_width": in_width,
        "widths": widths,
        "latency_s": envelope,
        "latency_raw_s": raw,
        "candidates": [edge for edge in widths if edge % 16 == 0][-8:] + [width] * (width % 16 != 0),
        "candidates_of": tie,
    }


def _vgg_profile() -> dict[str, Any]:
    rng = random.Random(0)
    names = [f"features.conv{index}" for index in range(len(_BEFORE))]
    inputs = (3, *_BEFORE[:-1])
    layers = [
        _layer(name, in_width=read, width=width, area=area, tie=name, rng=rng)
        for name, read, width, area in zip(names, inputs, _BEFORE, _AREA, strict=True)
    ]
    return {
        "device": "onnxruntime-cpu",
        "layers": layers,
        "network": {"predicted_s": 2.18e-3, "measured_s": 2.26e-3, "min_s": 2.21e-3},
        "probes": 214,
        "probes_cached": 12,
        "seconds": 41.3,
    }


def _vgg_why() -> list[dict[str, Any]]:
    rows = []
    for index, (before, after) in enumerate(zip(_BEFORE, _AFTER, strict=True)):
        macs = before * ((3, *_BEFORE)[index]) * 9 * _AREA[index] ** 2
        macs_after = after * ((3, *_AFTER)[index]) * 9 * _AREA[index] ** 2
        latency = 3e-5 + macs * 2.9e-11
        rows.append(
            {
                "layer": f"features.conv{index}",
                "macs_before": macs,
                "macs_after": macs_after,
                "latency_before_s": latency,
                "latency_after_s": latency * (1.06 if after > before else 0.58),
                "reason": _REASONS[index % len(_REASONS)],
            }
        )
    return rows


def _vgg_fit() -> dict[str, Any]:
    names = [f"features.conv{index}" for index in range(len(_BEFORE))]
    baseline = {
        "latency_s": 2.26e-3,
        "min_s": 2.21e-3,
        "macs": 66_521_088,
        "params": 1_902_000,
        "accuracy": 0.9361,
        "accuracy_validation": 0.9372,
    }
    result = {
        "latency_s": 1.38e-3,
        "min_s": 1.35e-3,
        "macs": 60_120_064,
        "params": 1_990_000,
        "accuracy": 0.9334,
        "accuracy_validation": 0.9350,
    }
    history = [
        {"epoch": epoch, "loss": 0.9 * 0.86**epoch + 0.05, "accuracy_validation": 0.935 - 0.22 * 0.8**epoch} for epoch in range(1, 21)
    ]
    return {
        "model": "vgg16-hrank",
        "device": "onnxruntime-cpu",
        "threads": 1,
        "batch": 1,
        "precision": "fp32",
        "baseline": baseline,
        "result": {**result, "predicted_s": 1.33e-3, "corrected_s": 1.37e-3},
        "target": "0.7x",
        "target_s": 1.547e-3,
        "met": True,
        "solver": "exact",
        "objective": "importance",
        "widths": dict(zip(names, _AFTER, strict=True)),
        "widths_before": dict(zip(names, _BEFORE, strict=True)),
        "left_alone": [{"name": "classifier", "reason": "its output width is the number of classes"}],
        "seconds": 312.4,
        "fine_tune": {"history": history, "seconds": 251.0},
        "why": _vgg_why(),
        "profile": _vgg_profile(),
        "warnings": [],
        "provenance": {
            "command": "edgewise fit vgg16-hrank --device onnxruntime-cpu --latency 0.7x --data imagefolder:cifar10.zip --out runs/vgg",
            "date": "2026-11-23T06:30:00Z",
            "seed": 0,
            "host": {"cpu": "Example CPU (synthetic)", "isa": "avx512", "cores": 2},
            "versions": {"edgewise": "0.1.0", "torch": "2.14.1", "onnxruntime": "1.32.0"},
        },
    }


@pytest.fixture(scope="session")
def browser() -> str:
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium found; in CI the browser tests must run: install Debian's package chromium")
        pytest.skip("no chromium found")
    return found


@pytest.fixture
def vgg_fit() -> dict[str, Any]:
    """A fit with data of VGG16 with the widths of HRank."""
    return _vgg_fit()


@pytest.fixture
def vgg_profile() -> dict[str, Any]:
    """The profile behind it."""
    return _vgg_profile()


@pytest.fixture
def deep_fit() -> dict[str, Any]:
    """A fit of a network with 110 layers, whose staircases are mostly distinct, each with many probes."""
    rng = random.Random(1)
    names = [f"layer{1 + index // 36}.{index // 2 % 18}.conv{1 + index % 2}" for index in range(110)]
    before = [16 * 2 ** (index // 37) + index % 5 for index in range(110)]
    layers = [
        _layer(name, in_width=width + index % 3, width=width * 8, area=32, tie=name, rng=rng)
        for index, (name, width) in enumerate(zip(names, before, strict=True))
    ]
    widths = {name: width * 8 - 8 * (index % 4) for index, (name, width) in enumerate(zip(names, before, strict=True))}
    times = ("latency_before_s", "latency_after_s")
    why = [
        {**row, "layer": name, **{key: row[key] * 0.15 * (1 + index % 7) / 4 for key in times}}
        for index, (name, row) in enumerate(zip(names, _vgg_why() * 9, strict=False))
    ]
    profile = {**_vgg_profile(), "layers": layers}
    left_alone = [
        {"name": f"layer{index}.shortcut", "reason": "its channels are cropped by a slice that the trace cannot follow"}
        for index in range(24)
    ]
    old = {name: width * 8 for name, width in zip(names, before, strict=True)}
    return {
        **_vgg_fit(),
        "model": "resnet110",
        "profile": profile,
        "widths": widths,
        "widths_before": old,
        "why": why,
        "left_alone": left_alone,
    }


@pytest.fixture
def bench_result() -> dict[str, Any]:
    """A bench of three networks on one device."""
    rows = [
        {
            "model": name,
            "device": "onnxruntime-cpu",
            "latency_s": time,
            "min_s": time * 0.97,
            "ratio": time / 8.1e-3,
            "q1_s": time * 0.99,
            "q3_s": time * 1.02,
            "macs": macs,
            "params": macs // 40,
        }
        for name, time, macs in (
            ("resnet18", 8.1e-3, 1_814_000_000),
            ("runs/resnet18", 4.9e-3, 1_102_000_000),
            ("torch-pruning", 6.7e-3, 1_100_000_000),
        )
    ]
    return {"rows": rows, "provenance": {"threads": 1}}
