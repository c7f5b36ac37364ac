"""Weights: what fits is loaded, what does not is refused as a whole, and nothing is executed."""

import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from edgewise._core.errors import StorageError, WeightsError
from edgewise.models.weights import load_weights, read_tensors, save_weights


def net(*, seed: int = 0, width: int = 4) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, 2)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def equal_states(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return list(states[0]) == list(states[1]) and all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def refused(model: nn.Module, path: Path) -> str:
    """The message with which a file is refused; the model must not change."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    message = str(caught.value)
    assert "\n" not in message
    return message


class RunsCode:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


class TestRoundTrips:
    def test_safetensors(self, tmp_path):
        saved, loaded = net(), net(seed=1)
        save_weights(saved, tmp_path / "w.safetensors")
        load_weights(loaded, tmp_path / "w.safetensors")
        assert equal_states(saved, loaded)

    def test_equal_models_give_equal_bytes(self, tmp_path):
        for name in ("a", "b"):
            save_weights(net(), tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    @pytest.mark.parametrize("wrapped", [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}])
    @pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
    def test_state_dicts_of_torch(self, tmp_path, wrapped, prefix):
        saved, loaded = net(), net(seed=1)
        state = OrderedDict((prefix + name, tensor) for name, tensor in saved.state_dict().items())
        torch.save(wrapped(state), tmp_path / "w.pth")
        load_weights(loaded, tmp_path / "w.pth")
        assert equal_states(saved, loaded)

    def test_legacy_files_of_torch(self, tmp_path):
        torch.save(net().state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
        loaded = net(seed=1)
        load_weights(loaded, tmp_path / "w.pt")
        assert equal_states(net(), loaded)

    def test_half_precision_takes_the_precision_of_the_model(self, tmp_path):
        save_weights(net().half(), tmp_path / "w.safetensors")
        loaded = net(seed=1)
        load_weights(loaded, tmp_path / "w.safetensors")
        assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
        assert torch.equal(loaded[0].weight, net()[0].weight.half().float())

    def test_tied_and_strided_tensors(self, tmp_path):
        saved = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        saved[1].weight = saved[0].weight
        saved[0].bias = nn.Parameter(torch.arange(6.0)[::2])
        save_weights(saved, tmp_path / "w.safetensors")
        assert torch.equal(read_tensors(tmp_path / "w.safetensors")["0.bias"], torch.tensor([0.0, 2.0, 4.0]))
        loaded = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        loaded[1].weight = loaded[0].weight
        load_weights(loaded, tmp_path / "w.safetensors")
        assert equal_states(saved, loaded) and loaded[1].weight is loaded[0].weight
        # A file that names the shared tensor once fits too.
        state = {name: tensor.clone().contiguous() for name, tensor in saved.state_dict().items() if name != "1.weight"}
        save_file(state, tmp_path / "once.safetensors")
        load_weights(loaded, tmp_path / "once.safetensors")
        assert equal_states(saved, loaded)

    def test_counters_of_batch_norm_may_be_missing(self, tmp_path):
        state = {name: tensor for name, tensor in net().state_dict().items() if not name.endswith("num_batches_tracked")}
        save_file(state, tmp_path / "w.safetensors")
        loaded = net(seed=1)
        load_weights(loaded, tmp_path / "w.safetensors")
        assert equal_states(net(), loaded)


class TestMisfits:
    def store(self, path: Path, change) -> Path:
        state = dict(net().state_dict())
        change(state)
        save_file(state, path)
        return path

    def test_names_and_shapes_are_said_together(self, tmp_path):
        def change(state: dict[str, Tensor]) -> None:
            del state["3.bias"]
            state["4.weight"] = torch.zeros(1)
            state["0.weight"] = torch.zeros(4, 2, 3, 3)

        message = refused(net(seed=1), self.store(tmp_path / "w.safetensors", change))
        assert "1 missing (3.bias), 1 not in the model (4.weight)" in message
        assert "1 of another shape or type (0.weight 4x2x3x3 instead of 4x3x3x3); are they of another model?" in message

    def test_long_lists_are_cut(self, tmp_path):
        save_file({f"layer{place}": torch.zeros(1) for place in range(50)}, tmp_path / "w.safetensors")
        message = refused(net(), tmp_path / "w.safetensors")
        assert "50 not in the model (layer0, layer1, layer10, ...)" in message and len(message) < 400

    def test_integers_are_not_weights(self, tmp_path):
        path = self.store(tmp_path / "w.safetensors", lambda state: state.update({"3.weight": torch.zeros(2, 4, dtype=torch.int8)}))
        assert "3.weight int8 instead of float32" in refused(net(), path)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_broken_numbers_are_named(self, tmp_path, value):
        def change(state: dict[str, Tensor]) -> None:
            state["1.running_var"] = torch.tensor([1.0, value, 1.0, 1.0])

        message = refused(net(), self.store(tmp_path / "w.safetensors", change))
        assert "must be finite, got NaN or infinity in 1.running_var" in message

    def test_numbers_too_large_for_the_precision_are_refused(self, tmp_path):
        path = self.store(tmp_path / "w.safetensors", lambda state: state.update({"3.bias": torch.tensor([1e30, 0.0])}))
        assert "got NaN or infinity in 3.bias" in refused(net().half(), path)


class TestHostileFiles:
    @pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin"])
    def test_code_in_a_pickle_does_not_run(self, tmp_path, name):
        target = tmp_path / "made-by-unpickling"
        (tmp_path / name).write_bytes(pickle.dumps({"state_dict": RunsCode(target)}))
        refused(net(), tmp_path / name)
        assert not target.exists()

    def test_code_in_a_file_of_torch_does_not_run(self, tmp_path):
        target = tmp_path / "made-by-unpickling"
        torch.save({"0.weight": RunsCode(target)}, tmp_path / "w.pth")
        message = refused(net(), tmp_path / "w.pth")
        assert "holds more than tensors (which could run code, so it is not read)" in message
        assert "it asks for " in message and "weights_only" not in message
        assert "save the state dict alone" in message and len(message) < 500
        assert not target.exists()

    def test_whole_models_are_refused(self, tmp_path):
        torch.save(net(), tmp_path / "w.pth")
        message = refused(net(), tmp_path / "w.pth")
        assert "holds more than tensors" in message and "it asks for torch.nn.modules.container.Sequential" in message
        assert "weights_only" not in message  # torch's advice to switch the check off is not passed on

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ([torch.zeros(1)], "must hold a state dict, got list"),
            ({"a": 3}, "something else under a"),
            ({3: torch.zeros(1)}, "something else under 3"),
            ({"a": torch.zeros(2, 2).to_sparse()}, "something else under a"),
        ],
    )
    def test_other_values_are_refused(self, tmp_path, value, said):
        torch.save(value, tmp_path / "w.pth")
        assert said in refused(net(), tmp_path / "w.pth")

    def test_compressed_archives_are_refused(self, tmp_path):
        torch.save(net().state_dict(), tmp_path / "stored.pth")
        with zipfile.ZipFile(tmp_path / "stored.pth") as stored, zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as packed:
            for entry in stored.namelist():
                packed.writestr(entry, stored.read(entry))
        assert "is a compressed archive" in refused(net(), tmp_path / "w.pth")

    @pytest.mark.parametrize("length", [2**63, 2**40, 101 * 2**20, 5000])
    def test_headers_that_claim_too_much_are_refused(self, tmp_path, length):
        (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", length) + b"{" + b" " * 64)
        assert f"its header claims {length} bytes, the file has 73" in refused(net(), tmp_path / "w.safetensors")

    @pytest.mark.parametrize("offsets", [[0, 2**50], [8, 4], [-4, 0]])
    def test_offsets_outside_the_file_are_refused(self, tmp_path, offsets):
        header = json.dumps({"0.weight": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()
        (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        assert "is truncated or not a safetensors file" in refused(net(), tmp_path / "w.safetensors")

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
    @pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
    def test_truncated_files_are_refused(self, tmp_path, name, share):
        path = tmp_path / name
        if name.endswith("pth"):
            torch.save(net().state_dict(), path)
        else:
            save_weights(net(), path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        message = refused(net(), path)
        assert "truncated" in message or "is empty" in message

    @given(content=st.binary(max_size=200), suffix=st.sampled_from([".safetensors", ".pth"]))
    def test_noise_is_refused(self, tmp_path_factory, content, suffix):
        path = tmp_path_factory.mktemp("noise") / f"w{suffix}"
        path.write_bytes(content)
        refused(net(), path)

    def test_missing_files_and_folders(self, tmp_path):
        assert refused(net(), tmp_path / "absent.safetensors") == f"no file of weights {tmp_path / 'absent.safetensors'}"
        assert "weights must be a file, got the folder" in refused(net(), tmp_path)


class TestSaving:
    def test_a_failed_write_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "w.safetensors"
        save_weights(net(), path)
        before = path.read_bytes()

        def full(self, content):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match="no room left on the disk"):
            save_weights(net(seed=1), path)
        assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["w.safetensors"]

    def test_states_that_are_not_tensors_are_refused(self, tmp_path):
        class Odd(nn.Module):
            def get_extra_state(self):
                return {"x": 1}

        with pytest.raises(WeightsError, match="state of Odd must be dense tensors, got something else under _extra_state"):
            save_weights(Odd(), tmp_path / "w.safetensors")

    def test_does_not_move_or_change_the_model(self, tmp_path):
        model = net()
        pointers = [parameter.data_ptr() for parameter in model.parameters()]
        save_weights(model, tmp_path / "w.safetensors")
        assert [parameter.data_ptr() for parameter in model.parameters()] == pointers
        assert all(parameter.requires_grad for parameter in model.parameters())
