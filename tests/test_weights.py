import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn

from dscost.converting.weights import load_weights, read_weights, save_weights
from dscost.errors import InputError, OutputError


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))  # type: ignore[no-any-return]


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_state_dicts_are_read_as_training_scripts_leave_them(tmp_path: Path, nested: str | None, prefix: str) -> None:
    theirs, ours = net(), net()
    state = {f"{prefix}{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save(state if nested is None else {nested: state, "epoch": 7}, tmp_path / "w.pth")
    notes = load_weights(ours, tmp_path / "w.pth")
    assert_same(ours.state_dict(), theirs.state_dict())
    wrappers = [f"{part}." for part in prefix.split(".") if part]
    assert notes == [f"{tmp_path / 'w.pth'}: '{wrapper}' before every name was left out." for wrapper in wrappers]


def test_a_model_whose_own_names_begin_with_module_keeps_them(tmp_path: Path) -> None:
    theirs, ours = nn.Sequential(), nn.Sequential()
    for model in (theirs, ours):
        model.add_module("module", net())
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    assert load_weights(ours, tmp_path / "w.pt") == []
    assert_same(ours.state_dict(), theirs.state_dict())


def test_safetensors_are_read(tmp_path: Path) -> None:
    theirs = net()
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    assert_same(
        dict(sorted(read_weights(tmp_path / "w.safetensors").items())), dict(sorted(theirs.state_dict().items()))
    )


def test_a_checkpoint_that_holds_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save(net(), path)
    with pytest.raises(InputError) as found:
        read_weights(path)
    assert str(found.value) == (
        f"{path}: refused, since it holds torch.nn.modules.container.Sequential, and reading it would run the code "
        "that it holds; save model.state_dict() instead, by torch.save or as .safetensors"
    )


class Malicious:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.made,)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("ending", [".pt", ".bin"])
def test_the_code_of_a_malicious_checkpoint_is_not_run_and_torch_says_nothing_of_it(
    tmp_path: Path, ending: str, protocol: int, recwarn: pytest.WarningsRecorder
) -> None:
    path, made = tmp_path / f"w{ending}", tmp_path / "made"
    path.write_bytes(pickle.dumps({"state_dict": {"0.weight": Malicious(made)}}, protocol))
    with pytest.raises(InputError, match="refused"):
        read_weights(path)
    assert not made.exists()
    assert not recwarn.list
    pickle.loads(path.read_bytes())
    assert made.exists()  # it would have been


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\x00" * 100, b"x" * 5000])
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_what_is_no_checkpoint_says_so_in_one_line(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"w{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError) as found:
        read_weights(path)
    assert str(found.value).startswith(f"{path}: ")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ([1, 2], "expected tensors by name, found list"),
        ({}, "expected tensors by name, at the top or under 'state_dict' or 'model': it is empty"),
        ({"epoch": 3}, "'epoch' is int"),
        ({"a": torch.ones(2, device="meta")}, "'a' is a tensor on meta, without values"),
        ({"a": torch.eye(2).to_sparse()}, "'a' is a sparse tensor"),
    ],
)
def test_a_checkpoint_without_tensors_by_name_says_what_it_has(tmp_path: Path, saved: object, said: str) -> None:
    torch.save(saved, tmp_path / "w.pt")
    with pytest.raises(InputError, match=said):
        read_weights(tmp_path / "w.pt")


def test_what_does_not_fit_is_listed_in_one_line(tmp_path: Path) -> None:
    state = {"0.weight": torch.ones(8, 3, 5, 5), "0.bias": torch.ones(8), "2.weight": torch.ones(1)}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError) as found:
        load_weights(net(), tmp_path / "w.pt", hint="; a hint")
    assert str(found.value) == (
        f"{tmp_path / 'w.pt'} does not fit the model: 5 missing (1.weight, 1.bias, 1.running_mean and 2 more); "
        "1 not in the model (2.weight); 1 of another shape (0.weight 8×3×5×5 instead of 8×3×3×3); a hint"
    )


@pytest.mark.parametrize(("dtype", "is_read"), [("float16", True), ("float64", True), ("int64", False),
                                                ("complex64", False), ("bool", False)])  # fmt: skip
def test_weights_of_another_precision_are_read_and_told_of_and_those_of_another_kind_refused(
    tmp_path: Path, dtype: str, is_read: bool
) -> None:
    path, ours = tmp_path / "w.pt", net()
    theirs = {name: tensor.to(getattr(torch, dtype)) for name, tensor in net().state_dict().items()}
    del theirs["1.num_batches_tracked"]  # as in checkpoints from before torch counted
    torch.save(theirs, path)
    if is_read:
        assert load_weights(ours, path) == [f"{path}: weights of {dtype} were read as float32, as the model has them."]
        assert torch.equal(ours.state_dict()["0.weight"], theirs["0.weight"].float())
        return
    before = ours.state_dict()["0.weight"].clone()
    with pytest.raises(InputError, match=rf"6 of another kind \(0\.weight {dtype} instead of float32, 0\.bias"):
        load_weights(ours, path)
    assert torch.equal(ours.state_dict()["0.weight"], before)


def test_tied_weights_are_read_under_one_name_or_both_and_never_two_values(tmp_path: Path) -> None:
    theirs, path = Tied(), tmp_path / "w.safetensors"
    save_model(theirs, str(path))  # leaves one name out
    assert len(load_file(path)) == 3
    ours = Tied()
    assert load_weights(ours, path) == []
    assert torch.equal(ours.first.weight, theirs.first.weight)
    assert ours.first.weight is ours.second.weight
    state = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    save_file(state, path)
    assert load_weights(ours, path) == []
    save_file({**state, "second.weight": state["first.weight"] + 1}, path)
    with pytest.raises(InputError, match=r"1 of values that differ though .* \(first\.weight and second\.weight\)"):
        load_weights(ours, path)
    assert torch.equal(ours.first.weight, theirs.first.weight)


def test_a_missing_file_or_an_unknown_ending_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_weights(tmp_path / "gone.pt")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(InputError, match=r"cannot read .*: it is a folder"):
        read_weights(tmp_path / "folder.pt")
    with pytest.raises(InputError, match=r"expected a file ending in \.safetensors"):
        read_weights(tmp_path / "w.npz")


@pytest.mark.parametrize(
    "model", [net(), Tied(), net().to(torch.bfloat16), net().to(memory_format=torch.channels_last)],  # type: ignore[call-overload]
    ids=["plain", "tied", "bfloat16", "channels_last"],
)  # fmt: skip
def test_written_weights_come_back(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(model, path, {"plan": "version: 1"})
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = load_file(path)
    assert set(found) == set(expected)
    for tensor in model.parameters():
        nn.init.zeros_(tensor)
    model.load_state_dict(found)
    assert_same(model.state_dict(), expected)
    with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
        assert file.metadata() == {"format": "pt", "plan": "version: 1"}


def test_what_safetensors_cannot_hold_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    class Odd(nn.Linear):
        def get_extra_state(self) -> object:
            return {"a": 1}

    path = tmp_path / "w.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(OutputError, match=r"cannot write .*: '_extra_state' is no tensor but dict"):
        save_weights(Odd(2, 2), path, {})
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_without_safetensors_the_command_that_installs_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "safetensors.py").write_text("raise ModuleNotFoundError('no', name='safetensors')")
    (tmp_path / "w.safetensors").touch()
    program = [sys.executable, "-m", "dscost", "convert", "resnet18", "--weights", "w.safetensors"]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, env=_here(tmp_path), check=False)
    assert done.returncode == 2
    assert done.stderr == "dscost: safetensors is not installed: pip install 'dscost[weights]'\n"


def _here(folder: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(folder)}
