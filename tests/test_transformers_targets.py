"""Targets of transformers, by a package that stands in for it: types, configurations, and nothing downloaded."""

import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import dscost
from dscost.analysis import Request, count
from dscost.budgets.starting import starter_budget
from dscost.cli.options import parse_kwargs
from dscost.errors import DscostError, UnavailableError

PACKAGE = {
    "transformers/__init__.py": """
import torch
from torch import nn

class BertConfig:
    model_type = "bert"
    def __init__(self, hidden_size=4, vocab_size=9, **more):
        self.hidden_size, self.vocab_size = hidden_size, vocab_size
        for name, value in more.items():  # kept without a word, as transformers does
            setattr(self, name, value)
    def to_dict(self): return dict(vars(self))
    @classmethod
    def from_dict(cls, given): return cls(**given)

class ViTConfig(BertConfig):
    model_type = "vit"
    def __init__(self, image_size=6, num_channels=3, **more):
        super().__init__(**more)
        self.image_size, self.num_channels = image_size, num_channels

class _Model(nn.Module):
    main_input_name = "input_ids"
    def __init__(self, config):
        super().__init__()
        self.config = config
    @property
    def dummy_inputs(self):
        return {"input_ids": torch.tensor([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]])}

class BertModel(_Model):
    config_class = BertConfig
    def __init__(self, config):
        super().__init__(config)
        self.table = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layer = nn.Linear(config.hidden_size, config.hidden_size)
    def forward(self, input_ids): return self.layer(self.table(input_ids))

class ViTModel(_Model):
    config_class = ViTConfig
    main_input_name = "pixel_values"
    def __init__(self, config):
        super().__init__(config)
        self.conv = nn.Conv2d(config.num_channels, config.hidden_size, 1)
    def forward(self, pixel_values): return self.conv(pixel_values)

class AutoModel:
    @classmethod
    def from_config(cls, config): return {"bert": BertModel, "vit": ViTModel}[config.model_type](config)
""",
    "transformers/models/__init__.py": "",
    "transformers/models/auto/__init__.py": "",
    "transformers/models/auto/configuration_auto.py": """
from transformers import BertConfig, ViTConfig
CONFIG_MAPPING = {"bert": BertConfig, "vit": ViTConfig, "bert-generation": BertConfig}
""",
}


@pytest.fixture(autouse=True)
def transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of that name, on the path and forgotten afterwards."""
    had = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "transformers"
    }
    for name in had:
        del sys.modules[name]
    for name, text in PACKAGE.items():
        path = tmp_path / "installed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
        del sys.modules[name]
    sys.modules.update(had)


def macs_of(target: str, *pairs: str, folder: Path | None = None, **options: Any) -> int:
    request = Request(kwargs=parse_kwargs(pairs), **options)
    return count(target, request, folder=folder).report.totals.as_is.macs


def refused(target: str, *pairs: str, **options: Any) -> str:
    with pytest.raises(DscostError) as caught:
        macs_of(target, *pairs, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_type_is_made_by_its_own_configuration_with_the_input_that_it_states() -> None:
    report = dscost.analyze("hf:bert")
    assert report.totals.as_is.macs == 15 * 4 * 4
    assert report.totals.as_is.params == 9 * 4 + 4 * 4 + 4
    assert (report.source, report.target) == ("hf", "hf:bert")
    assert report.inputs == (((3, 5), "int64"),)
    assert macs_of("hf:vit") == 36 * 3 * 4


def test_its_configuration_can_be_changed() -> None:
    assert macs_of("hf:bert", "hidden_size=6") == 15 * 6 * 6
    assert macs_of("hf:vit", "image_size=8", "hidden_size=2") == 64 * 3 * 2
    assert (
        refused("hf:bert", "hidden_sise=6")
        == "hf:bert has no 'hidden_sise' (did you mean 'hidden_size'?)"
    )


def test_a_configuration_that_was_saved_is_read_from_its_folder(transformers: Path) -> None:
    folder = transformers / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "bert", "hidden_size": 3}), encoding="utf-8"
    )
    assert macs_of(f"hf:{folder}") == 15 * 9
    assert macs_of(f"hf:{folder}", "hidden_size=2") == 15 * 4
    assert macs_of("hf:tiny", folder=transformers) == 15 * 9
    (folder / "config.json").write_text("{}", encoding="utf-8")
    assert (
        refused(f"hf:{folder}")
        == f"{folder}/config.json: not the configuration of a model: it has no model_type"
    )
    (folder / "config.json").write_text("[", encoding="utf-8")
    assert refused(f"hf:{folder}").startswith(
        f"{folder}/config.json: not the configuration of a model: JSONDecodeError"
    )
    (folder / "config.json").write_text("[" * 100_000, encoding="utf-8")
    assert refused(f"hf:{folder}").startswith(
        f"{folder}/config.json: not the configuration of a model: RecursionError"
    )
    (folder / "config.json").write_text('{"model_type": "brt"}', encoding="utf-8")
    assert (
        refused(f"hf:{folder}") == "unknown model type of transformers 'brt' (did you mean 'bert'?)"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "bert-base-uncased",
            "the hub is not asked and nothing is downloaded: give hf:bert with --kwargs for its size, ",
        ),
        (
            "google-bert/bert-base-uncased",
            "give hf:bert with --kwargs for its size, or a folder with its config.json",
        ),
        ("google/vit-base-patch16-224", "give hf:vit with --kwargs"),
        ("google/bert-generation-encoder", "give hf:bert-generation with --kwargs"),
        (
            "someone/something",
            "give its model type, as in hf:bert, or a folder with its config.json",
        ),
        ("brt", "unknown model type of transformers 'brt' (did you mean 'bert'?)"),
        ("", "unknown model type of transformers ''"),
    ],
)
def test_a_name_of_the_hub_is_refused_with_what_to_give_instead(name: str, message: str) -> None:
    told = refused(f"hf:{name}")
    assert message in told


def test_nothing_is_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    macs_of("hf:bert")
    refused("hf:bert-base-uncased")


def test_a_class_takes_its_configuration_by_name() -> None:
    given = "config=transformers:BertConfig"
    assert macs_of("transformers:BertModel", given) == 15 * 4 * 4
    assert macs_of("transformers:BertModel", "config.hidden_size=6", given) == 15 * 6 * 6
    assert refused("transformers:BertModel", given, "config.hidden_sise=6") == (
        "transformers:BertConfig has no 'hidden_sise' (did you mean 'hidden_size'?)"
    )


@pytest.mark.parametrize("options", [{}, {"input": (1, 5)}], ids=["without an input", "with one"])
def test_a_class_without_its_configuration_is_told_which_it_takes(options: Any) -> None:
    assert refused("transformers:BertModel", **options) == (
        "transformers:BertModel cannot be made: TypeError: BertModel.__init__() missing 1 required positional "
        "argument: 'config' (give it with --kwargs config=transformers:BertConfig)"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "transformrs:BertConfig",
            "transformrs:BertConfig: there is no module 'transformrs'; for the text write '",
        ),
        (
            "transformers:BrtConfig",
            "there is no 'BrtConfig' (did you mean 'BertConfig'?); for the text write '",
        ),
        ("transformers:BertConfig.nothing", "there is no 'nothing'"),
        ("transformers:BertModel()", "transformers:BertModel cannot be made: TypeError: "),
    ],
)
def test_an_object_that_is_not_there_is_told(value: str, message: str) -> None:
    assert message in refused("transformers:BertModel", f"config={value}").replace(
        "BertModel()", "BertModel"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "torch.nn:BatchNorm2d",
            "type",
        ),  # a class of modules is what factories take for norm_layer
        ("torch.nn:ReLU()", "ReLU"),
        ("torch.nn.functional:relu", "function"),
        ("torch:float16", "dtype"),
        ("transformers:BertConfig", "BertConfig"),
        ("math:pi", "float"),
        ("'math:pi'", "str"),
        ("[torch.nn:ReLU(), torch:float16]", "list"),
    ],
)
def test_a_named_object_is_passed_as_factories_take_it(
    transformers: Path, value: str, expected: str
) -> None:
    path = transformers / "net.py"
    path.write_text(
        "from torch import nn\n"
        "def make(value):\n"
        f"    assert type(value).__name__ == {expected!r}, type(value)\n"
        "    if isinstance(value, list):\n"
        "        assert [type(one).__name__ for one in value] == ['ReLU', 'dtype']\n"
        "    return nn.Conv2d(3, 4, 1)\n",
        encoding="utf-8",
    )
    assert macs_of(f"{path}:make", f"value={value}", input=(1, 3, 2, 2)) == 4 * 12


def test_transformers_that_is_not_installed_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        UnavailableError, match=r"^transformers is not installed: pip install transformers$"
    ):
        dscost.analyze("hf:bert")


# -- the same in a budget


BUDGET = """
version: 1
models:
  - name: in braces
    target: nets.py:make
    input: '1,3,2,2'
    kwargs: {norm: None, text: 'None', size: [3, 5]}
    limits: {macs: {max: 48, min: 48}}
  - name: on lines
    target: nets.py:make
    input: '1,3,2,2:float32=0.5'
    kwargs:
      norm: None
      text: "None"
      size: (3, 5)
    limits: {macs: {max: 48, min: 48}}
  - name: by settings and choices
    target: nets.py:make
    input: [1, 3, 2, 2]
    set: {norm: None, text: 'None'}
    matrix: {size: [[3, 5]]}
    limits: {macs: {max: 48, min: 48}}
  - target: hf:bert
    kwargs: {hidden_size: 2}
    limits: {macs: {max: 60, min: 60}}
  - target: transformers:BertModel
    kwargs: {config: transformers:BertConfig, config.hidden_size: 2}
    limits: {macs: {max: 60, min: 60}}
"""


def test_a_budget_reads_arguments_as_the_command_line_does(transformers: Path) -> None:
    budget = transformers / "dscost.yaml"
    (transformers / "nets.py").write_text(
        "from torch import nn\n"
        "def make(norm='batch', size=3, text=''):\n"
        "    assert (norm, list(size), text) == (None, [3, 5], 'None'), (norm, size, text)\n"
        "    return nn.Conv2d(3, 4, 1)\n",
        encoding="utf-8",
    )
    budget.write_text(BUDGET, encoding="utf-8")
    assert dscost.check(budget).exit_code == 0


def test_a_first_budget_writes_arguments_so_that_they_are_read_alike(transformers: Path) -> None:
    path = transformers / "nets.py"
    path.write_text(
        "from torch import nn\n"
        "def make(size, word, none, table, config, inner):\n"
        "    assert (size, word, none, table) == ((3, 5), 'None', None, {'a': [(1, 2), 'yes']})\n"
        "    assert (config.hidden_size, config.vocab_size) == (2, (1,)), vars(config)\n"
        "    assert inner == [(1, 2), None]\n"
        "    return nn.Conv2d(3, 4, 1)\n",
        encoding="utf-8",
    )
    pairs = [
        "size=(3, 5)",
        "word='None'",
        "none=None",
        "table={a: [(1, 2), 'yes']}",
        "inner=[(1, 2), None]",
    ]
    pairs += ["config=transformers:BertConfig", "config.hidden_size=2", "config.vocab_size=(1,)"]
    choice = Request(input=(1, 3, 2, 2), kwargs=parse_kwargs(pairs))
    budget = transformers / "dscost.yaml"
    budget.write_text(
        starter_budget([f"{path}:make"], budget, Fraction(0), choice), encoding="utf-8"
    )
    kinds = {finding.kind for finding in dscost.check(budget).findings}
    assert kinds <= {
        "missing_baseline"
    }  # it was counted as it is written, and there is no baseline yet
    simple = starter_budget(["hf:bert"], budget, Fraction(0), Request(kwargs={"hidden_size": 2}))
    assert '    kwargs: {"hidden_size": 2}\n' in simple  # as before, where JSON has such values


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("kwargs: {deep: yes}", "'yes' could mean two things: write true, or 'yes' for the text"),
        ("kwargs: {size: [(3, 5)]}", "expected ',' or ')' at character 3 of '(3', it ends there"),
        ("kwargs: {a: 3, a.b: 1}", "'a.b': a is 3, which has no parts"),
        ("set: {deep: off}", "'off' could mean two things: write false, or 'off' for the text"),
        (
            "input: '1:int64=[1, 2]'",
            "'1:int64=[1, 2]': 2 values do not fill 1: expected 1, or the last sizes",
        ),
        ("input: '1,3:int64=yes'", "'1,3:int64=yes': 'yes' could mean two things"),
    ],
)
def test_a_budget_refuses_what_the_command_line_refuses_with_its_place(
    transformers: Path, line: str, message: str
) -> None:
    budget = transformers / "dscost.yaml"
    budget.write_text(
        f"version: 1\nmodels:\n  - target: nets.py:make\n    {line}\n    limits: {{macs: 1}}\n",
        encoding="utf-8",
    )
    with pytest.raises(DscostError) as caught:
        dscost.check(budget)
    assert str(caught.value).startswith(f"{budget}:4:")
    assert message in str(caught.value)
