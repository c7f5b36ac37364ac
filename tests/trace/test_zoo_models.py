"""Networks that nobody here wrote: traced, halved, compared; torch-pruning agrees on what hangs together."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from edgewise.ir import TiePlan, WidthPlan
from edgewise.trace import Traced, apply_plan, choose_channels, trace
from edgewise.trace.reader_scores import score_by_readers
from edgewise.trace.readers import _modes, record_readers, refit_readers
from edgewise.trace.trials import Trial, close, silenced, stand_in

torchvision = pytest.importorskip("torchvision")
timm = pytest.importorskip("timm")

VISION = {
    "resnet18": 12,
    "mobilenet_v2": 25,
    "mobilenet_v3_small": 27,
    "shufflenet_v2_x0_5": 21,
    "densenet121": 120,
    "googlenet": 57,
    "squeezenet1_1": 25,
    "mnasnet0_5": 25,
    "efficientnet_b0": 40,
    "regnet_y_400mf": 53,
    "convnext_tiny": 22,
}
"""torchvision's models, and how many free ties each has."""
TIMM = ("res2net50_14w_8s", "resnest14d", "skresnet18", "ghostnet_050", "fasternet_t0", "tinynet_e", "test_nfnet", "hgnetv2_b0")
IMAGE = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def build(library: str, name: str) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "timm":
            return timm.create_model(name).eval()
        extra = {"init_weights": False} if name == "googlenet" else {}
        return torchvision.models.get_model(name, weights=None, **extra).eval()


def halve(traced: Traced) -> WidthPlan:
    rng = np.random.default_rng(0)
    plans = []
    for tie in traced.net.ties:
        if tie.free and tie.growable and tie.width > 1:
            keep = rng.choice(tie.width, size=(tie.width + 1) // 2, replace=False)
            plans.append(TiePlan(tie=tie.name, keep=tuple(sorted(keep.tolist()))))
    return WidthPlan(ties=tuple(plans))


@pytest.mark.parametrize(("library", "name"), [*(("torchvision", name) for name in VISION), *(("timm", name) for name in TIMM)])
def test_a_foreign_network_is_halved_exactly(library: str, name: str) -> None:
    model = build(library, name)
    traced = trace(model, (IMAGE,))
    if name in VISION:
        assert sum(tie.free for tie in traced.net.ties) == VISION[name]
    plan = halve(traced)
    assert plan.ties
    other = stand_in(model, (IMAGE,))
    with torch.no_grad():
        expected = functional_call(other, silenced(other, Trial(plan=plan, grows=False, exact=True), traced), (IMAGE,))
        found = apply_plan(other, plan, traced)(IMAGE)
    assert close(expected, found)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "mnasnet0_5"])
@pytest.mark.filterwarnings("ignore")
def test_torch_pruning_cuts_the_same_channels(name: str) -> None:
    pruning = pytest.importorskip("torch_pruning")
    model = build("torchvision", name)
    traced = trace(model, (IMAGE,))
    ties = [tie for tie in traced.net.ties if tie.free]
    for tie in ties[:: max(1, len(ties) // 4)]:
        removed = list(range(0, tie.width, 3))
        kept = tuple(sorted(set(range(tie.width)) - set(removed)))
        ours = apply_plan(model, WidthPlan(ties=(TiePlan(tie=tie.name, keep=kept),)), traced)
        theirs = build("torchvision", name)
        graph = pruning.DependencyGraph().build_dependency(theirs, IMAGE)
        graph.get_pruning_group(theirs.get_submodule(tie.name), pruning.prune_conv_out_channels, removed).prune()
        assert {key: tuple(value.shape) for key, value in ours.state_dict().items()} == {
            key: tuple(value.shape) for key, value in theirs.state_dict().items()
        }
        with torch.no_grad():
            assert close(theirs.eval()(IMAGE), ours(IMAGE), tolerance=1e-4)


@pytest.mark.parametrize(
    ("library", "name"),
    [*(("torchvision", name) for name in ("resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "regnet_y_400mf")), ("timm", "ghostnet_050")],
)
def test_the_readers_of_a_foreign_network_make_up_for_half_of_its_channels(library: str, name: str) -> None:
    model = build(library, name)
    traced = trace(model, (IMAGE,), verify=False)
    images = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    def forward(one: nn.Module) -> object:
        return one(images)

    # Drawn weights come with batch statistics that were never measured.
    with _modes(model, norms=True):
        model(images)
    readers = record_readers(model, traced, forward)
    scores = score_by_readers(readers)
    widths = {tie.name: (tie.width + 1) // 2 for tie in traced.net.ties if tie.name in scores}
    plan = choose_channels(traced, widths, scores)
    plain, refitted = apply_plan(model, plan, traced), apply_plan(model, plan, traced)
    assert refit_readers(refitted, readers, plan)
    with torch.no_grad(), _modes(plain, norms=True):
        rough = (plain(images) - model(images)).norm()
        fine = (refitted(images) - model(images)).norm()
    assert fine <= rough
