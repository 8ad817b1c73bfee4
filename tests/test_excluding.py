"""What a budget excludes: what is taken off, what stays since others use it, and what is said of the rest."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dscost.budgets.baseline import fingerprint_of
from dscost.budgets.checking import check
from dscost.budgets.excluding import rest_of, why_inexact
from dscost.budgets.findings import CheckResult
from dscost.budgets.keeping import count_all
from dscost.budgets.reading import read_budget
from dscost.budgets.records import Entry, Exclusion, Limit
from dscost.budgets.selectors import parse_selector
from dscost.cli import run
from dscost.reports.figures import Cost
from dscost.reports.records import Coverage, Input, Layer, Report, SharedWeights, Totals

NETS = """
import torch
from torch import nn


class Tied(nn.Module):
    def __init__(self, heads=1):
        super().__init__()
        self.embedding = nn.Linear(6, 4, bias=False)  # 24
        self.middle = nn.Linear(4, 4, bias=False)  # 16
        self.heads = nn.ModuleList(nn.Linear(6, 4, bias=True) for _ in range(heads))  # 4 and those of the embedding
        for head in self.heads:
            head.weight = self.embedding.weight

    def forward(self, x):
        y = self.middle(self.embedding(x))
        return [head(x) for head in self.heads], y


class RootFirst(nn.Module):
    '''The root runs first and reads the weights of the layer last.'''

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        y = self.inner(x * 2)
        return y @ self.inner.weight


class Odd(nn.Module):
    def forward(self, x):
        return torch.linalg.qr(x)[0]


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.main, self.aux, self.odd = nn.Linear(4, 4), Odd(), Odd()

    def forward(self, x):
        return self.main(x), self.aux(x), self.aux(x), self.odd(x)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(10, 4), nn.Linear(4, 2, bias=False)

    def forward(self, ids, mask):
        return self.out(self.embedding(ids) * mask.unsqueeze(-1))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def checked(*models: str, more: str = "") -> CheckResult:
    Path("b.yaml").write_text(
        f"version: 1\n{more}\nmodels:\n" + "".join(f"  - {model}\n" for model in models)
    )
    return check("b.yaml")


def figures(result: CheckResult) -> dict[str, Fraction]:
    return {
        f"{one.layer}/{one.metric}" if one.layer else one.metric: one.value for one in result.passed
    }


def notes(result: CheckResult) -> list[tuple[str, str, str | None]]:
    return [(one.kind, one.level, one.detail) for one in result.findings]


LIMITS = "limits: {params: 1k, weight_bytes: 1 MB, macs: 1M, traffic_bytes: 1 MB}"
BATCH = 2
EMBEDDING, MIDDLE = BATCH * 6 * 4, BATCH * 4 * 4  # MACs


@pytest.mark.parametrize(
    ("kwargs", "pattern", "params", "macs"),
    [
        pytest.param("", "nothing*", 24 + 16 + 4, 2 * EMBEDDING + MIDDLE, id="nothing"),
        pytest.param("", "heads*", 24 + 16, EMBEDDING + MIDDLE, id="who uses them last"),
        pytest.param("", "embedding", 24 + 16 + 4, EMBEDDING + MIDDLE, id="who uses them first"),
        pytest.param("", "*e*d*", 16, MIDDLE, id="all who use them"),
        pytest.param("", "middle", 24 + 4, 2 * EMBEDDING, id="who does not use them"),
        pytest.param(
            "heads: 3", "embedding", 24 + 16 + 3 * 4, 3 * EMBEDDING + MIDDLE, id="two are left"
        ),
        pytest.param("heads: 3", "*dd*", 24 + 3 * 4, 3 * EMBEDDING, id="with another layer"),
    ],
)
def test_shared_weights_count_as_long_as_somebody_uses_them(
    kwargs: str, pattern: str, params: int, macs: int, here: Path
) -> None:
    model = f"target: nets.py:Tied, input: [{BATCH}, 6], kwargs: {{{kwargs}}}, {LIMITS}"
    result = checked(
        f"{{{model}, exclude: [{{match: '{pattern}', reason: a test}}]}}",
        more="policy: {on_unmatched_rule: ignore}",
    )
    assert result.findings == ()
    found = figures(result)
    assert (found["params"], found["weight_bytes"], found["macs"]) == (params, 4 * params, macs)
    # and a baseline keeps what is judged
    kept = count_all(read_budget(Path("b.yaml")))[0]["nets.py:Tied"]
    assert {metric: kept.figure(metric) for metric in found} == found


def test_the_next_layer_that_uses_them_has_the_weights_of_an_excluded_one(here: Path) -> None:
    result = checked(
        "{target: nets.py:Tied, input: [2, 6], kwargs: {heads: 2}, exclude: [{match: embedding, reason: a test}], "
        "layers: [{match: '*', each: {params: 1k}}]}"
    )
    assert figures(result) == {"middle/params": 16, "heads.0/params": 24 + 4, "heads.1/params": 4}
    baseline = count_all(read_budget(Path("b.yaml")))[0]["nets.py:Tied"]
    assert baseline.figure("params") == 16 + 24 + 4 + 4
    assert [
        baseline.layer_figure(name, "params") for name in ("embedding", "heads.0", "heads.1")
    ] == [0, 28, 4]


def test_weights_are_those_of_the_layer_that_first_reads_them_even_if_another_one_ran_before(
    here: Path,
) -> None:
    for pattern, params in (("inner", 16), ("type:RootFirst", 16), ("*", 0)):
        result = checked(
            f"{{target: nets.py:RootFirst, input: [2, 4], limits: {{params: 1k}}, "
            f"exclude: [{{match: '{pattern}', reason: a test}}]}}"
        )
        assert figures(result) == {"params": params}, pattern
    result = checked(
        "{target: nets.py:RootFirst, input: [2, 4], layers: [{match: '*', each: {params: 1k}}]}"
    )
    assert figures(result) == {"inner/params": 16, "params": 0}


def test_a_saved_report_says_what_its_layers_share(here: Path) -> None:
    assert (
        run(["model", "nets.py:Tied", "--input", "2,6", "--no-time", "--json", "-o", "r.json"]) == 0
    )
    assert json.loads(Path("r.json").read_text())["subjects"][0]["shared_weights"] == [
        {"layers": ["embedding", "heads.0"], "params": 24, "weight_bytes": 96}
    ]
    model = f"target: r.json, {LIMITS}, exclude: [{{match: embedding, reason: a test}}]"
    result = checked(
        f"{{{model}}}", more="defaults: {input: [1, 3, 8, 8], dtype: float16, batch: 5}"
    )
    assert result.findings == ()
    assert (figures(result)["params"], figures(result)["macs"]) == (16 + 24 + 4, EMBEDDING + MIDDLE)


def test_a_report_that_does_not_say_what_is_shared_gets_a_note(here: Path) -> None:
    assert (
        run(["model", "nets.py:Tied", "--input", "2,6", "--no-time", "--json", "-o", "r.json"]) == 0
    )
    document = json.loads(Path("r.json").read_text())
    del document["subjects"][0]["shared_weights"]
    Path("r.json").write_text(json.dumps(document))
    exclude = "exclude: [{match: embedding, reason: a test}]"
    (note,) = notes(checked(f"{{target: r.json, limits: {{params: 1k}}, {exclude}}}"))
    assert note[:2] == ("inexact_exclusion", "note")
    assert note[2] is not None
    assert note[2].startswith("params without all weights of excluded layers")
    assert notes(checked(f"{{target: r.json, limits: {{macs: 1M}}, {exclude}}}")) == []


def test_figures_of_the_whole_are_told_once_a_model(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = "limits: {macs: 1G, input_bytes: 1 GB, output_bytes: {max: 1 GB, min: 1 B}, peak_activation_bytes: 1 GB}"
    exclude = "exclude: [{match: 'linear*', reason: a}, {match: 'conv*', reason: b}]"
    result = checked(f"{{target: mobilenet_v1, {limits}, {exclude}}}")
    (note,) = result.findings
    assert (note.kind, note.level, result.exit_code) == ("inexact_exclusion", "note", 0)
    assert (
        note.detail
        == "input_bytes, output_bytes, peak_activation_bytes of the whole model, excluded layers too"
    )
    assert run(["check", "b.yaml"]) == 0
    said = (
        "judged all the same: input_bytes, output_bytes, peak_activation_bytes of the whole model"
    )
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "model",
    [
        "limits: {macs: 1G, params: 1G}, exclude: [{match: 'linear*', reason: a}]",
        "limits: {peak_activation_bytes: {max: 1 GB, level: ignore}}, exclude: [{match: 'linear*', reason: a}]",
        "limits: {peak_activation_bytes: 1 GB}",
    ],
)
def test_nothing_is_said_where_the_exclusion_is_exact(model: str, here: Path) -> None:
    assert checked(f"{{target: mobilenet_v1, {model}}}").findings == ()


@pytest.mark.parametrize(
    ("patterns", "unknown"),
    [
        (["main"], "aten::linalg_qr (3×)"),
        (["aux"], "aten::linalg_qr (1×)"),
        (["odd"], "aten::linalg_qr (2×)"),
        (["aux", "odd"], None),
        (["type:Odd"], None),
    ],
)
def test_operators_of_unknown_cost_in_excluded_layers_do_not_matter(
    patterns: list[str], unknown: str | None, here: Path
) -> None:
    exclude = ", ".join(f"{{match: '{pattern}', reason: a test}}" for pattern in patterns)
    result = checked(
        f"{{target: nets.py:Unknown, input: [4, 4], limits: {{macs: 1M}}, exclude: [{exclude}]}}"
    )
    assert notes(result) == ([("unknown_cost", "error", unknown)] if unknown else [])


def test_a_report_that_does_not_say_where_unknown_operators_ran_keeps_them_all() -> None:
    entry = entry_of(["aux"])
    told = Coverage(1, 0, ("odd (3×)",), {"odd": {"aux": 2, "a": 1}})
    assert rest_of(entry, report(coverage=told)).unknown == ("odd (1×)",)
    assert rest_of(entry, report(coverage=Coverage(1, 0, ("odd (3×)",)))).unknown == ("odd (3×)",)


def entry_of(patterns: list[str], metrics: tuple[str, ...] = ()) -> Entry:
    return Entry(
        "m",
        "m",
        limits=tuple(Limit(metric, "max", Fraction(1)) for metric in metrics),
        exclude=tuple(Exclusion(parse_selector(pattern), "a test", (1, 1)) for pattern in patterns),
    )


COUNTED = Coverage(1, 0)


def report(coverage: Coverage = COUNTED, shared: Any = ()) -> Report:
    names: Mapping[str, int] = {"a": 1, "aux": 10, "b": 100}
    layers = tuple(
        Layer(name, "Linear", "linear", 1, None, (1,), (1,), Cost(n, n, 4 * n, n, n, n))
        for name, n in names.items()
    )
    total = Cost(111, 111, 444, 1, 1, 111)
    return Report(
        "m",
        "python",
        (Input((1,), "float32"),),
        Totals(total, total, total),
        layers,
        coverage,
        shared_weights=shared,
    )


def test_weights_go_to_the_first_layer_that_is_left_and_add_up() -> None:
    shared = (
        SharedWeights(("aux", "b", "a"), 7, 28),
        SharedWeights(("aux", "b"), 1, 4),
        SharedWeights(("a", "b"), 1, 4),
    )
    rest = rest_of(entry_of(["aux"]), report(shared=shared))
    assert {layer.name: (layer.cost.params, layer.cost.weight_bytes) for layer in rest.layers} == {
        "a": (1, 4),
        "b": (100 + 7 + 1, 400 + 28 + 4),
    }
    assert (rest.cost.params, rest.cost.weight_bytes, rest.cost.macs) == (109, 436, 101)


def test_weights_that_an_excluded_layer_does_not_have_are_not_handed_on() -> None:
    rest = rest_of(entry_of(["b"]), report(shared=(SharedWeights(("aux", "b"), 7, 28),)))
    assert (rest.cost.params, [layer.cost.params for layer in rest.layers]) == (11, [1, 10])


def test_both_reasons_are_one_note() -> None:
    entry = entry_of(["aux"], ("latency_s", "weight_bytes"))
    assert why_inexact(entry, report(shared=None)) == (
        "latency_s of the whole model, excluded layers too; weight_bytes without all weights of excluded layers, "
        "since this report does not say which of them other layers share"
    )
    assert why_inexact(entry_of([], ("latency_s",)), report(shared=None)) is None


# -- inputs of several kinds, and saved reports


@pytest.mark.parametrize(
    "given",
    [
        "['1,5:int64', '1,5']",
        "['mask=1,5', 'ids=1,5:int64']",
        "{ids: '1,5:int64', mask: [1, 5]}",
    ],
)
def test_a_model_of_words_has_a_budget(given: str, here: Path) -> None:
    result = checked(
        f"{{target: nets.py:Words, input: {given}, limits: {{macs: 1k, params: 1k, input_bytes: 1 kB}}}}"
    )
    assert result.findings == ()
    # a linear layer over five words; ids of eight bytes and a mask of four
    assert figures(result) == {
        "macs": 5 * 4 * 2,
        "params": 10 * 4 + 4 * 2,
        "input_bytes": 5 * (8 + 4),
    }


def test_a_fingerprint_holds_every_input(here: Path) -> None:
    texts = set()
    for given in (
        "['1,5:int64', '1,5']",
        "['1,6:int64', '1,6']",
        "['1,5:int32', '1,5']",
        "['1,5:int64', '1,5:bool']",
    ):
        (subject,) = checked(f"{{target: nets.py:Words, input: {given}}}").subjects
        assert subject.report is not None
        texts.add(json.dumps(fingerprint_of(subject.entry, subject.report), sort_keys=True))
    assert len(texts) == 4
    assert any('"input": "1x5 int64, 1x5 float32"' in text for text in texts)


def test_an_input_without_a_dtype_has_that_of_the_model(here: Path) -> None:
    result = checked(
        "{target: nets.py:Words, dtype: float16, input: ['1,5:int64', '1,5'], limits: {input_bytes: 1 kB}}"
    )
    assert figures(result) == {"input_bytes": 5 * (8 + 2)}


def test_an_architecture_has_no_input_of_another_dtype(here: Path) -> None:
    result = checked("{target: mobilenet_v1, input: '1,3,224,224:float16', limits: {macs: 1G}}")
    (finding,) = result.findings
    assert finding.kind == "unloadable_model"
    assert "found '1,3,224,224:float16'" in str(finding.detail)


def test_an_architecture_has_no_second_input(here: Path) -> None:
    (finding,) = checked("{target: mobilenet_v1, input: ['1,3,64,64', 'ids=1,5:int64']}").findings
    assert finding.detail == (
        "an architecture takes one input of batch, channels, height and width, found 1,3,64,64 and ids=1,5:int64"
    )


def test_every_subject_in_json_has_its_entry(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("b.yaml").write_text(
        "version: 1\npolicy: {on_unloadable_model: ignore}\nmodels:\n  - {target: gone}\n"
        "  - {name: net, target: mobilenet_v1, matrix: {width: [0.5, 1.0]}}\n"
    )
    assert run(["check", "b.yaml", "--json", "--no-isolate"]) == 0
    subjects = json.loads(capsys.readouterr().out)["subjects"]
    assert [(one["entry"], one["settings"]["width"]) for one in subjects] == [
        ("net[width=0.5]", 0.5),
        ("net[width=1.0]", 1.0),
    ]
