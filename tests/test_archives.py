"""Archives that would run code if torch read them: refused with the reason, or read without what runs."""

import contextlib
import io
import json
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dscost
from dscost import cli
from dscost.errors import InputError
from dscost.sources.archives import Affine, affine, read_archive

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)

MACS = 2 * 8 * 3 * 9 * 6 * 6
"""Of the program below: batch 2, 8 filters of 3×3 over 3 channels, 6×6 positions."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.tensor([2.0])  # type: ignore[no-any-return]


class Payload:
    """A pickle that makes a file when it is read."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.made,)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The entries of a program whose batch may be other than that of its example."""
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    batch = torch.export.Dim("batch", min=1, max=8)
    exported = torch.export.export(
        Net().eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes={"x": {0: batch}}
    )
    torch.export.save(exported, path)
    with zipfile.ZipFile(path) as packed:
        return {name.partition("/")[2]: packed.read(name) for name in packed.namelist()}


Entries = dict[str, bytes]
Change = Callable[[Entries, Path], None]
MODEL, SAMPLE = "models/model.json", "data/sample_inputs/model.pt"


def packed(
    path: Path, entries: Entries, root: str = "net/", compression: int = zipfile.ZIP_STORED
) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(f"{root}{name}", content)
    return str(path)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def code(made: Path) -> str:
    return f"__import__('pathlib').Path({str(made)!r}).touch()"


def every(document: Any, key: str) -> Iterator[tuple[Any, Any]]:
    """Yield every dict that has a key, with what stands there."""
    if isinstance(document, dict):
        if key in document:
            yield document, document[key]
        for value in document.values():
            yield from every(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from every(value, key)


def edited(entries: Entries, change: Callable[[Any], None], name: str = MODEL) -> None:
    document = json.loads(entries[name])
    change(document)
    entries[name] = json.dumps(document).encode()


def payload_in(name: str) -> Change:
    def change(entries: Entries, made: Path) -> None:
        entries[name] = saved(Payload(made))

    return change


def pickled_tensors(kind: str) -> Change:
    def change(entries: Entries, made: Path) -> None:
        def all_pickled(document: Any) -> None:
            for one in document["config"].values():
                one["use_pickle"] = True
                entries[f"data/{kind}/{one['path_name']}"] = saved(Payload(made))

        edited(entries, all_pickled, f"data/{kind}/model_{kind}_config.json")

    return change


def opaque_constant(entries: Entries, made: Path) -> None:
    meta = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    edited(
        entries,
        lambda document: document["config"].update(evil=meta),
        "data/constants/model_constants_config.json",
    )
    entries["data/constants/opaque_obj_0"] = pickle.dumps(Payload(made))


def native_code(entries: Entries, made: Path) -> None:
    entries["data/aotinductor/model/a.wrapper.so"] = b"\x7fELF"


def expressions(entries: Entries, made: Path) -> None:
    def change(document: Any) -> None:
        for holder, _ in every(document, "expr_str"):
            holder["expr_str"] = code(made)

    edited(entries, change)


def target(text: str) -> Change:
    def change(entries: Entries, made: Path) -> None:
        edited(
            entries, lambda document: node(document).update(target=text.replace("MADE", str(made)))
        )

    return change


def node(document: Any) -> dict[str, Any]:
    """Return the first node of a graph."""
    found: dict[str, Any] = document["graph_module"]["graph"]["nodes"][0]
    return found


def argument(value: dict[str, Any], name: str = "input") -> Change:
    def change(entries: Entries, made: Path) -> None:
        edited(
            entries,
            lambda document: node(document)["inputs"].append(
                {"name": name, "arg": value, "kind": 2}
            ),
        )

    return change


def named(old: str) -> Change:
    """Rename something everywhere to code, as a default of an argument."""

    def change(entries: Entries, made: Path) -> None:
        text = entries[MODEL].decode()
        assert f'"{old}"' in text
        entries[MODEL] = text.replace(f'"{old}"', json.dumps(f"a={code(made)}")).encode()

    return change


def tree(which: str, kind: str, context: object) -> Change:
    def change(entries: Entries, made: Path) -> None:
        leaf = {"type": None, "context": None, "children_spec": []}
        spec = {"type": kind, "context": context, "children_spec": [leaf]}
        if which == "in_spec":
            spec = {"type": "builtins.tuple", "context": "null", "children_spec": [spec, spec]}

        def set_tree(document: Any) -> None:
            for holder, _ in every(document, which):
                holder[which] = json.dumps([1, spec])

        edited(entries, set_tree)

    return change


ENUM = json.dumps([{"__enum__": True, "fqn": "evil_module:E", "name": "A"}])
FACTORY = {
    "default_factory_module": "evil_module",
    "default_factory_name": "E",
    "dict_context": ["x"],
}

REFUSED: dict[str, tuple[Change, str]] = {
    "sample inputs": (payload_in(SAMPLE), "unpickling getattr"),
    "pickled weights": (
        pickled_tensors("weights"),
        "'conv.weight' in data/weights/ is a pickled object",
    ),
    "pickled constants": (pickled_tensors("constants"), "is a pickled object"),
    "an opaque constant": (opaque_constant, "'evil' in data/constants/ is a pickled object"),
    "weights of torch 2.8": (payload_in("data/weights/model.pt"), "unpickling getattr"),
    "constants of torch 2.8": (payload_in("data/constants/model.pt"), "unpickling getattr"),
    "a native library": (native_code, "it holds native code, data/aotinductor/model/a.wrapper.so"),
    "an expression": (expressions, "a size in it is no expression"),
    "a function of torch": (target("torch.serialization.os.system"), "which is no operator"),
    "torch.load": (target("torch.load"), "it calls 'torch.load', which is no operator"),
    "load_library": (target("torch.ops.load_library"), "which is no operator"),
    "a builtin": (target("_operator.methodcaller"), "which is no operator"),
    "a loader": (target("math.__loader__.load_module"), "which is no operator"),
    "an extension": (target("#evil:op"), "which is no operator"),
    "text": (target("builtins.eval"), "which is no operator"),
    "an operator that maps files": (
        target("torch.ops.aten.from_file.default"),
        "it calls aten::from_file",
    ),
    "an operator that writes files": (target("torch.ops.aten.save.default"), "it calls aten::save"),
    "an operator of a library": (target("torch.ops.evil.op.default"), "it calls evil::op"),
    "an operator that runs objects": (
        target("torch.ops.higher_order.call_torchbind"),
        "which is no operator",
    ),
    "an operator that loads code": (
        target("torch.ops.higher_order.aoti_call_delegate"),
        "which is no operator",
    ),
    "an operator as an argument": (
        argument({"as_operator": "torch.hub.load"}),
        "it calls 'torch.hub.load'",
    ),
    "an object as an argument": (
        argument({"as_custom_obj": {"name": "a", "class_fqn": "b"}}),
        "object of a class",
    ),
    "the name of a keyword": (argument({"as_int": 1}, "a=print()"), "a name in it is no name"),
    "the name of an input": (named("x"), "a name in it is no name"),
    "the name of a node": (named("conv2d"), "a name in it is no name"),
    "the name of a parameter": (named("conv.weight"), "a path in it is no path"),
    "a class among the inputs": (
        tree("in_spec", "evil_module.E", "null"),
        "an input of it is a evil_module.E",
    ),
    "a factory among the inputs": (
        tree("in_spec", "collections.defaultdict", FACTORY),
        "collections.defaultdict",
    ),
    "an enum among the inputs": (
        tree("in_spec", "builtins.dict", ENUM),
        "names a class to be imported",
    ),
    "an enum among the outputs": (
        tree("out_spec", "builtins.dict", ENUM),
        "names a class to be imported",
    ),
}
FIRES_WHEN_LOADED = (
    *(
        "sample inputs",
        "pickled weights",
        "pickled constants",
        "an opaque constant",
        "weights of torch 2.8",
    ),
    *(
        "constants of torch 2.8",
        "an expression",
        "a factory among the inputs",
        "an enum among the inputs",
    ),
    *("an enum among the outputs",),
)
"""Those whose code torch runs at once, and not only when the program runs."""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that code would make; a module that makes it can be imported."""
    made = tmp_path / "made"
    (tmp_path / "evil_module.py").write_text(
        f"import enum, pathlib\npathlib.Path({str(made)!r}).touch()\nclass E(enum.Enum):\n    A = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield made
    sys.modules.pop("evil_module", None)


@pytest.mark.parametrize("way", REFUSED)
def test_code_in_an_archive_is_refused_by_name_and_does_not_run(
    way: str, program: Entries, tmp_path: Path, made: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    change, reason = REFUSED[way]
    entries = dict(program)
    change(entries, made)
    path = packed(tmp_path / "net.pt2", entries)
    assert cli.run(["model", path, "--no-time"]) == 2
    out, err = capfd.readouterr()
    assert not made.exists()
    assert out == ""
    assert err.startswith(f"dscost: {path}: refused, since ")
    assert reason in err
    assert "--trust" in err
    assert err.count("\n") == 1
    if way in FIRES_WHEN_LOADED:  # so that the case is one
        with contextlib.suppress(Exception):
            torch.export.load(path)
        assert made.exists()


OLD = ("serialized_state_dict.pt", "serialized_constants.pt", "serialized_example_inputs.pt")


def as_old(program: Entries) -> Entries:
    """Return a program as torch 2.7 wrote it."""
    from torch._export.serde.schema import SCHEMA_VERSION

    found = read_weights_of(program)
    return {
        "version": ".".join(map(str, SCHEMA_VERSION)).encode(),
        "serialized_exported_program.json": program[MODEL],
        OLD[0]: saved(found),
        OLD[1]: saved({name: torch.zeros(1) for name in json.loads(program[CONSTANTS])["config"]}),
        OLD[2]: program[SAMPLE],
    }


CONSTANTS = "data/constants/model_constants_config.json"


def read_weights_of(program: Entries) -> dict[str, Tensor]:
    return {
        "conv.weight": nn.Parameter(torch.zeros(8, 3, 3, 3)),
        "conv.bias": nn.Parameter(torch.zeros(8)),
    }


def test_the_old_format_is_read_as_far_as_it_holds_tensors(
    program: Entries, tmp_path: Path
) -> None:
    report = dscost.analyze(packed(tmp_path / "old.pt2", as_old(program), root=""))
    assert report.totals.as_is.macs == MACS
    assert [layer.name for layer in report.layers if layer.cost.macs] == ["conv"]


@pytest.mark.parametrize("name", OLD)
def test_the_old_format_does_not_run_its_pickles(
    name: str, program: Entries, tmp_path: Path, made: Path
) -> None:
    path = packed(tmp_path / "old.pt2", {**as_old(program), name: saved(Payload(made))}, root="")
    with pytest.raises(
        InputError, match=rf"refused, since unpickling getattr in {name} would run the code"
    ):
        dscost.analyze(path)
    assert not made.exists()


def guards(entries: Entries, made: Path) -> None:
    edited(entries, lambda document: document.update(guards_code=[f"{code(made)} is None"]))


def metadata(entries: Entries, made: Path) -> None:
    def change(document: Any) -> None:
        node(document)["metadata"].update(
            source_fn_stack=f"a,torch.{code(made)}",
            custom=code(made),
            from_node=code(made),
            torch_fn=code(made),
        )

    edited(entries, change)


def extra(entries: Entries, made: Path) -> None:
    entries["extra/evil.py"] = code(made).encode()


def class_of_outputs(entries: Entries, made: Path) -> None:
    tree("out_spec", "evil_module.Output", json.dumps(["logits"]))(entries, made)


@pytest.mark.parametrize("change", [guards, metadata, extra, class_of_outputs])
def test_what_counting_does_not_need_is_not_looked_at(
    change: Change, program: Entries, tmp_path: Path, made: Path
) -> None:
    entries = dict(program)
    change(entries, made)
    report = dscost.analyze(packed(tmp_path / "net.pt2", entries))
    assert report.totals.as_is.macs == MACS
    assert not made.exists()


def test_trust_reads_what_only_torch_can(program: Entries, tmp_path: Path, made: Path) -> None:
    entries = dict(program)
    entries[SAMPLE] = saved((Sample(torch.zeros(2, 3, 8, 8)), {}))
    path = packed(tmp_path / "net.pt2", entries)
    with pytest.raises(InputError, match="refused, since unpickling"):
        dscost.analyze(path)
    assert dscost.analyze(path, trust=True).totals.as_is.macs == MACS
    assert dscost.verify(path, trust=True).agrees


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("isolate", [False, True])
def test_a_budget_trusts_the_programs_that_it_says_it_trusts(
    program: Entries, tmp_path: Path, made: Path, isolate: bool
) -> None:
    entries = dict(program)
    entries[SAMPLE] = saved((Sample(torch.zeros(2, 3, 8, 8)), {}))
    packed(tmp_path / "net.pt2", entries)
    budget = tmp_path / "dscost.yaml"
    text = f"version: 1\nmodels:\n  - {{target: net.pt2, limits: {{macs: {MACS}}}}}\n"
    budget.write_text(text)
    result = dscost.check(budget, isolate=isolate)
    assert result.exit_code == 2
    assert "--trust (in a budget trust: true) reads it" in (result.findings[0].detail or "")
    budget.write_text(text.replace("net.pt2,", "net.pt2, trust: true,"))
    assert dscost.check(budget, isolate=isolate).exit_code == 0
    budget.write_text(text.replace("net.pt2,", "net.pt2, trust: maybe,"))
    with pytest.raises(InputError, match="3:30: expected true or false, found 'maybe'"):
        dscost.check(budget, isolate=isolate)


LIBRARY = """
import dataclasses, torch
@dataclasses.dataclass
class Output:
    logits: object
torch.export.register_dataclass(Output, serialized_type_name="some_library.Output")
"""


def test_trust_imports_what_a_program_names(
    program: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    entries = dict(program)
    tree("out_spec", "some_library.Output", json.dumps([["logits"], []]))(entries, tmp_path)
    pickled_tensors("constants")(entries, tmp_path)
    for name in [name for name in entries if name.startswith("data/constants/tensor")]:
        entries[name] = saved(torch.ones(1))
    path = packed(tmp_path / "net.pt2", entries)
    with pytest.raises(InputError, match="is a pickled object"):
        dscost.analyze(path)
    assert "some_library" not in sys.modules
    assert dscost.analyze(path, trust=True).totals.as_is.macs == MACS
    assert "some_library" in sys.modules


class Sample(tuple[Any, ...]):
    """A class of its own that holds the arguments."""

    __slots__ = ()

    def __new__(cls, *args: Any) -> "Sample":
        return super().__new__(
            cls, args[0] if len(args) == 1 and isinstance(args[0], tuple) else args
        )


# -- damaged, or something else


def test_an_archive_of_something_else_is_named(program: Entries, tmp_path: Path) -> None:
    path = tmp_path / "a.pt2"
    for content, said in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (b"", "an empty file"),
        (b"PK\x03\x04 cut off", "cut off"),
        (saved({"a": torch.ones(1)}), "a file of torch.save"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=said) as found:
            dscost.analyze(str(path))
        assert str(found.value).startswith(f"{path}: not a program of torch.export")


def test_an_archive_that_spans_disks_is_told(program: Entries, tmp_path: Path) -> None:
    path = Path(packed(tmp_path / "a.pt2", program))
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    locator = (
        b"PK\x06\x07" + (1).to_bytes(4, "little") + bytes(8) + (2).to_bytes(4, "little")
    )  # of two disks
    content[end:end] = locator
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a program of torch\.export"):
        dscost.analyze(str(path))


def test_an_archive_that_unpacks_to_gigabytes_is_not_unpacked(
    program: Entries, tmp_path: Path
) -> None:
    big = program[MODEL] + b" " * 2**26
    path = packed(tmp_path / "a.pt2", {**program, MODEL: big}, compression=zipfile.ZIP_DEFLATED)
    assert Path(path).stat().st_size < 2**20
    with pytest.raises(
        InputError, match=r"models/model.json is compressed and unpacks to 67,1\d\d,\d\d\d bytes"
    ):
        dscost.analyze(path)
    assert (
        dscost.analyze(
            packed(tmp_path / "b.pt2", program, compression=zipfile.ZIP_DEFLATED)
        ).totals.as_is.macs
        == MACS
    )


def test_an_entry_that_is_not_compressed_may_be_of_any_size(
    program: Entries, tmp_path: Path
) -> None:
    # as weights are, which are larger still
    big = program[MODEL] + b" " * 2**26
    path = packed(tmp_path / "a.pt2", {**program, MODEL: big})
    assert dscost.analyze(path).totals.as_is.macs == MACS


def test_sample_inputs_that_hold_each_other_are_not_walked(
    program: Entries, tmp_path: Path
) -> None:
    lists: list[Any] = [1]
    for _ in range(40):
        lists = [lists] * 10
    path = packed(tmp_path / "a.pt2", {**program, SAMPLE: saved(((lists,), {}))})
    with pytest.raises(InputError, match="its sample inputs are more than 10,000"):
        dscost.analyze(path)


@pytest.mark.parametrize(
    "name", ["archive_format", MODEL, SAMPLE, "data/weights/weight_0", CONSTANTS]
)
def test_a_missing_entry_is_named(name: str, program: Entries, tmp_path: Path) -> None:
    path = packed(
        tmp_path / "a.pt2", {other: content for other, content in program.items() if other != name}
    )
    with pytest.raises(InputError) as found:
        dscost.analyze(path)
    assert "torch.export" in str(found.value)


def of_size(*sizes: int) -> Change:
    meta = {"sizes": [{"as_int": size} for size in sizes]}

    def change(entries: Entries, made: Path) -> None:
        config = "data/weights/model_weights_config.json"
        edited(
            entries,
            lambda document: document["config"]["conv.weight"]["tensor_meta"].update(meta),
            config,
        )

    return change


absurd, too_large = of_size(2**40, 2**40, 1, 1), of_size(8, 3, 3, 300)


def deep(entries: Entries, made: Path) -> None:
    entries[MODEL] = b'{"graph_module":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def huge(entries: Entries, made: Path) -> None:
    def change(document: Any) -> None:
        node(document)["inputs"].append({"name": "stride", "arg": {"as_ints": [10**30]}, "kind": 1})

    edited(entries, change)


def other_type(entries: Entries, made: Path) -> None:
    edited(entries, lambda document: node(document).update(target=["torch"]))


def unknown_operator(entries: Entries, made: Path) -> None:
    target("torch.ops.aten.conv2d.nothing")(entries, made)


def another_version(entries: Entries, made: Path) -> None:
    edited(entries, lambda document: document["schema_version"].update(major=99))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (absurd, "'conv.weight' would have 1.21e+24 elements"),
        (too_large, "'conv.weight' does not fit the 864 bytes of its file"),
        (deep, "not a program of torch.export"),
        (huge, "not a program of torch.export: Argument.as_ints is 1e"),
        (other_type, "not a program of torch.export: Node.target is list"),
        (unknown_operator, "it calls aten::conv2d.nothing, an operator that this torch"),
        (another_version, "its format is version 99, this torch"),
    ],
)
def test_absurd_values_are_told_in_one_line(
    change: Change, said: str, program: Entries, tmp_path: Path, made: Path
) -> None:
    entries = dict(program)
    change(entries, made)
    path = packed(tmp_path / "net.pt2", entries)
    with pytest.raises(InputError) as found:
        dscost.analyze(path)
    assert str(found.value).startswith(f"{path}: ")
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_every_entry_may_be_damaged(program: Entries, tmp_path: Path) -> None:
    """A short form of a fuzzer: each entry cut, emptied, and each of its bytes at some places changed."""
    for name, content in program.items():
        for altered in (
            b"",
            content[: len(content) // 2],
            content[:-1],
            b"\xff" + content[1:],
            content + b"{",
        ):
            path = packed(tmp_path / "net.pt2", {**program, name: altered})
            is_text = name.endswith(
                ".json"
            )  # of which every byte has a meaning; some of tensors have none
            with pytest.raises(InputError) if is_text else contextlib.suppress(InputError):
                read_archive(Path(path))


# -- expressions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s0", Affine(1, "s0", 0)),
        ("Symbol('s77', integer=True, positive=True)", Affine(1, "s77", 0)),
        ("Mul(Integer(3), Symbol('s1'))", Affine(3, "s1", 0)),
        ("Add(Symbol('s1'), Integer(-1))", Affine(1, "s1", -1)),
        ("Mul(Integer(2), Add(Symbol('s1'), Integer(4)))", Affine(2, "s1", 8)),
        ("Add(Symbol('s1'), Symbol('s2'))", None),
        ("FloorDiv(Symbol('s1'), Integer(2))", None),
        ("Symbol()", None),
        ("Mul(Integer(True), Symbol('s1'))", None),
        ("(", None),
    ],
)
def test_a_size_is_a_symbol_scaled_and_shifted(text: str, expected: Affine | None) -> None:
    assert affine(text) == expected
