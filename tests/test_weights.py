import gzip
import io
import json
import pickle
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from program import run
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn

from dscost.converting.saving import as_safetensors
from dscost.converting.weights import load_weights, read_weights
from dscost.errors import InputError


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
@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_state_dicts_are_read_as_training_scripts_leave_them(
    tmp_path: Path, nested: str | None, prefix: str
) -> None:
    theirs, ours = net(), net()
    state = {f"{prefix}{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save(state if nested is None else {nested: state, "epoch": 7}, tmp_path / "w.pth")
    notes = load_weights(ours, tmp_path / "w.pth")
    assert_same(ours.state_dict(), theirs.state_dict())
    wrappers = [f"{part}." for part in prefix.split(".") if part]
    assert notes == [
        f"{tmp_path / 'w.pth'}: '{wrapper}' before every name was left out." for wrapper in wrappers
    ]


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
        dict(sorted(read_weights(tmp_path / "w.safetensors").items())),
        dict(sorted(theirs.state_dict().items())),
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


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\x00" * 100, b"x" * 5000]
)
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_what_is_no_checkpoint_says_so_in_one_line(
    tmp_path: Path, content: bytes, ending: str
) -> None:
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
def test_a_checkpoint_without_tensors_by_name_says_what_it_has(
    tmp_path: Path, saved: object, said: str
) -> None:
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
        assert load_weights(ours, path) == [
            f"{path}: weights of {dtype} were read as float32, as the model has them."
        ]
        assert torch.equal(ours.state_dict()["0.weight"], theirs["0.weight"].float())
        return
    before = ours.state_dict()["0.weight"].clone()
    with pytest.raises(
        InputError, match=rf"6 of another kind \(0\.weight {dtype} instead of float32, 0\.bias"
    ):
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
    with pytest.raises(
        InputError, match=r"1 of values that differ though .* \(first\.weight and second\.weight\)"
    ):
        load_weights(ours, path)
    assert torch.equal(ours.first.weight, theirs.first.weight)


def state_of(theirs: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in theirs.state_dict().items()}


@pytest.mark.parametrize("prefix", ["model.", "net.", "model.backbone.", "student.module.", "0."])
def test_any_prefix_that_all_names_share_is_left_out_and_told(tmp_path: Path, prefix: str) -> None:
    theirs, ours, path = net(), net(), tmp_path / "w.ckpt"
    torch.save({"state_dict": state_of(theirs, prefix), "pytorch-lightning_version": "2"}, path)
    assert load_weights(ours, path) == [f"{path}: '{prefix}' before every name was left out."]
    assert_same(ours.state_dict(), theirs.state_dict())


def test_a_prefix_that_only_the_model_has_is_put_before_every_name(tmp_path: Path) -> None:
    theirs, ours, path = net(), nn.Module(), tmp_path / "w.pt"
    ours.add_module("model", net())
    torch.save(theirs.state_dict(), path)
    assert load_weights(ours, path) == [f"{path}: 'model.' was put before every name."]
    assert torch.equal(ours.state_dict()["model.0.weight"], theirs.state_dict()["0.weight"])


@pytest.mark.parametrize(
    "wrapper", ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."]
)
def test_wrappers_of_single_modules_are_left_out_of_names(tmp_path: Path, wrapper: str) -> None:
    theirs, ours, path = net(), net(), tmp_path / "w.pt"
    state = theirs.state_dict()
    torch.save({name.replace("1.", f"1.{wrapper}"): tensor for name, tensor in state.items()}, path)
    assert load_weights(ours, path) == [f"{path}: '{wrapper}' within names was left out."]
    assert_same(ours.state_dict(), state)


@pytest.mark.parametrize(
    "key", ["net", "ema", "model_state_dict", "module", "generator", "params_ema", "anything"]
)
def test_weights_under_any_key_are_found(tmp_path: Path, key: str) -> None:
    theirs, ours, path = net(), net(), tmp_path / "w.pth"
    torch.save(
        {"acc": 0.9, key: theirs.state_dict(), "optimizer": {"state": {0: {"step": 1}}}}, path
    )
    assert load_weights(ours, path) == []
    assert_same(ours.state_dict(), theirs.state_dict())


def test_weights_in_two_dicts_are_found(tmp_path: Path) -> None:
    theirs, path = net(), tmp_path / "w.pth"
    torch.save({"model": {"state_dict": theirs.state_dict(), "args": {"lr": 1}}}, path)
    assert_same(dict(read_weights(path)), theirs.state_dict())


def test_of_several_state_dicts_the_one_that_was_taken_is_told_and_another_can_be(
    tmp_path: Path,
) -> None:
    plain, averaged, ours, path = net(), net(), net(), tmp_path / "w.pth"
    torch.save({"state_dict_ema": averaged.state_dict(), "state_dict": plain.state_dict()}, path)
    assert load_weights(ours, path) == [
        f"{path}: 'state_dict' was taken, not 'state_dict_ema'; FILE:KEY takes another."
    ]
    assert_same(ours.state_dict(), plain.state_dict())
    assert load_weights(ours, Path(f"{path}:state_dict_ema")) == []
    assert_same(ours.state_dict(), averaged.state_dict())
    with pytest.raises(
        InputError,
        match=r"no weights under 'ema', found them under 'state_dict' and 'state_dict_ema'",
    ):
        load_weights(ours, Path(f"{path}:ema"))


def test_of_several_state_dicts_the_one_that_fits_is_taken(tmp_path: Path) -> None:
    theirs, ours, path = net(), net(), tmp_path / "gan.pth"
    torch.save(
        {"model": nn.Linear(2, 2).state_dict(), "discriminator": state_of(theirs, "module.")}, path
    )
    assert load_weights(ours, path) == [
        f"{path}: 'discriminator' was taken, not 'model'; FILE:KEY takes another.",
        f"{path}: 'module.' before every name was left out.",
    ]
    assert_same(ours.state_dict(), theirs.state_dict())


def test_weights_that_the_model_does_not_have_are_left_out_only_when_asked(tmp_path: Path) -> None:
    theirs, ours, path = net(), net(), tmp_path / "w.ckpt"
    torch.save({"state_dict": {**state_of(theirs, "model."), "loss.weight": torch.ones(3)}}, path)
    with pytest.raises(
        InputError, match=r"1 not in the model \(loss\.weight\); --ignore-extra leaves them out"
    ):
        load_weights(ours, path)
    assert load_weights(ours, path, ignore_extra=True) == [
        f"{path}: 'model.' before 7 of 8 names was left out.",
        f"{path}: left out, since the model does not have them: loss.weight.",
    ]
    assert_same(ours.state_dict(), theirs.state_dict())


def test_weights_that_are_missing_stay_an_error_whatever_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"0.weight": torch.ones(8, 3, 3, 3), "more": torch.ones(1)}, path)
    with pytest.raises(InputError, match=r"5 missing"):
        load_weights(net(), path, ignore_extra=True)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_weights_in_several_files_are_read_by_their_index(tmp_path: Path, ending: str) -> None:
    theirs, ours, index = net(), net(), tmp_path / f"model.{ending}.index.json"
    state, shards = theirs.state_dict(), (f"a.{ending}", f"b.{ending}")
    for shard, layer in zip(shards, "01", strict=True):
        part = {name: tensor for name, tensor in state.items() if name.startswith(layer)}
        (save_file if ending == "safetensors" else torch.save)(part, tmp_path / shard)
    index.write_text(
        json.dumps({"metadata": {}, "weight_map": {name: shards[int(name[0])] for name in state}})
    )
    assert load_weights(ours, index) == []
    assert_same(ours.state_dict(), state)
    (tmp_path / shards[1]).unlink()
    with pytest.raises(InputError, match=rf"cannot read .*b\.{ending}: no such file"):
        load_weights(ours, index)


@pytest.mark.parametrize("shard", ["../a.pt", "/etc/passwd", "a.txt", 3])
def test_an_index_names_files_beside_it(tmp_path: Path, shard: object) -> None:
    index = tmp_path / "w.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(InputError, match="expected names of files beside it"):
        read_weights(index)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": []}', "[" * 100_000])
def test_an_index_that_is_none_is_told(tmp_path: Path, content: str) -> None:
    index = tmp_path / "w.bin.index.json"
    index.write_text(content)
    with pytest.raises(InputError, match="not an index of weights"):
        read_weights(index)


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"a")
    return buffer.getvalue()


def stored(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\n"
OTHERS = {
    "a pointer": (LFS, "a Git LFS pointer, not the file itself; get it by git lfs pull"),
    "a page": (
        b"\n<!DOCTYPE html><html><body>Google Drive - Virus scan warning",
        "a web page, not the file itself",
    ),
    "an error page": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "a web page",
    ),
    "nothing": (b"", "an empty file"),
    "JSON": (b'{"message": "Not Found"}', "JSON"),
    "a message": (b"Not Found", "text that begins 'Not Found'"),
    "NumPy": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}", "an array of NumPy"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file, as of Keras"),
    "gzip": (gzip.compress(b"a" * 100), "a file compressed by gzip"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(30), "a picture"),
}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("what", OTHERS)
def test_a_file_that_is_something_else_is_named_as_what_it_is(
    tmp_path: Path, ending: str, what: str
) -> None:
    (content, said), path = OTHERS[what], tmp_path / f"w{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError) as found:
        read_weights(path)
    assert said in str(found.value)
    assert "run the code" not in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped("readme.txt"), "a zip archive of readme.txt"),
        (zipped("a/archive_format"), "a program of torch.export, which is a target itself"),
        (zipped("a/constants.pkl"), "a program of torch.jit.save: save its state_dict()"),
        (stored({"a": torch.ones(999)})[:-300], "a zip archive that is cut off, or was altered"),
        (pickle.dumps({"a": 1})[:-3], "damaged"),
    ],
)
def test_what_is_wrong_with_an_archive_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(InputError) as found:
        read_weights(path)
    assert said in str(found.value)
    assert "run the code" not in str(found.value)


def test_safetensors_under_another_name_and_cut_off_are_told(tmp_path: Path) -> None:
    path, other = tmp_path / "w.safetensors", tmp_path / "w.pt"
    save_file(net().state_dict(), path)
    other.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"a safetensors file; name it w\.safetensors"):
        read_weights(other)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"it is cut off, or was altered"):
        read_weights(path)
    path.write_bytes(stored(net().state_dict()))
    with pytest.raises(InputError, match=r"not a safetensors file: a zip archive"):
        read_weights(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nested_tensors_are_no_weights(tmp_path: Path) -> None:
    state = {"0.weight": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"'0\.weight' is a nested tensor"):
        read_weights(tmp_path / "w.pt")


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
    path.write_bytes(as_safetensors(model, {"plan": "version: 1"}))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = load_file(path)
    assert set(found) == set(expected)
    for tensor in model.parameters():
        nn.init.zeros_(tensor)
    model.load_state_dict(found)
    assert_same(model.state_dict(), expected)
    with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
        assert file.metadata() == {"format": "pt", "plan": "version: 1"}


def test_what_safetensors_cannot_hold_is_refused() -> None:
    class Odd(nn.Linear):
        def get_extra_state(self) -> object:
            return {"a": 1}

    with pytest.raises(InputError, match="'_extra_state' is no tensor but dict"):
        as_safetensors(Odd(2, 2), {})


def test_without_safetensors_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("safetensors", "safetensors.torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "safetensors.py").write_text("raise ModuleNotFoundError('no', name='safetensors')")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "w.safetensors").touch()
    ran = run("convert", "resnet18", "--weights", "w.safetensors", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == "dscost: safetensors is not installed: pip install safetensors\n"
