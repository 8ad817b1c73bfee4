"""A report that was saved is read back as it was: the same values, the same tables."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from program import run
from properties import timing_with
from torch import nn

import dscost
from dscost.analysis import count
from dscost.errors import FileProblems, InputError, UnknownNameError
from dscost.layers.variants import SEPARABLE, TIMING_KEYS, VERSIONS
from dscost.networks.architectures import builtin_names
from dscost.notation.strict_json import MOST
from dscost.rendering import RENDERERS, View, render
from dscost.reports.records import (
    Cause,
    Doubt,
    Environment,
    Latency,
    Layer,
    Noise,
    Report,
    Speedup,
    Timing,
    document,
)
from dscost.reports.report_file import parse_reports, read_saved
from tests.properties import law

LAYER = dscost.layer(in_channels=8, out_channels=16, kernel_size=3, stride=2)
WriteReports = Callable[..., str]


@cache
def timed_layer() -> Report:
    """Return a layer that was measured, once for all."""
    return dscost.layer(
        in_channels=8, out_channels=8, kernel_size=3, time=True, threads=1, time_budget_s=0.2
    )


def written(*reports: Report) -> str:
    return json.dumps(document(reports, command="model"), allow_nan=False)


def read_again(*reports: Report) -> tuple[Report, ...]:
    return parse_reports(written(*reports), "report.json")


@pytest.fixture
def save(tmp_path: Path) -> WriteReports:
    def write(*reports: Report, name: str = "report.json") -> str:
        path = tmp_path / name
        path.write_text(written(*reports), encoding="utf-8")
        return str(path)

    return write


# -- the same values


@pytest.mark.parametrize("name", builtin_names())
def test_every_builtin_is_read_back_equal(name: str) -> None:
    report = dscost.analyze(name)
    assert read_again(report) == (report,)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {
            "kernel_size": (5, 3),
            "groups": 2,
            "bias": True,
            "depth_multiplier": 2,
            "dtype": "float16",
            "batch": 4,
        },
        {"kernel_size": 2, "padding": "same"},
        {"kernel_size": 1},
        {"kernel_size": 3, "groups": 8},
    ],
    ids=["plain", "everything given", "same padding", "pointwise", "depthwise"],
)
def test_every_layer_is_read_back_equal(options: dict[str, Any]) -> None:
    report = dscost.layer(in_channels=8, out_channels=8, **options)
    assert read_again(report) == (report,)


class Odd(nn.Module):
    """Shares a layer, calls it twice, transposes, recurs, and owns what it never uses."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding="same")
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.recurrent = nn.LSTM(16, 8)
        self.idle = nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        x = self.up(self.conv(self.conv(x)))
        return self.recurrent(x[:, 0].fft.real if hasattr(x, "fft") else x[:, 0])[0]


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()), (1, 3, 8, 8)),
        (nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1)), (2, 8, 9, 9)),
        (nn.Conv1d(4, 4, 3), (1, 4, 10)),
        (nn.Linear(4, 4), (4,)),
        (Odd(), (1, 4, 8, 8)),
    ],
    ids=["conv", "pair", "one dimension", "no batch", "odd"],
)
@pytest.mark.parametrize("train", [False, True])
def test_a_traced_model_is_read_back_equal(
    module: nn.Module, shape: tuple[int, ...], train: bool
) -> None:
    report = dscost.analyze(module, input=shape, train=train)
    assert read_again(report) == (report,)


def test_a_timed_layer_is_read_back_equal_with_its_environment() -> None:
    report = timed_layer()
    assert report.environment is not None
    assert read_again(report) == (report,)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a type of `dscost.reports.records`, so that a field that is added is tested as well."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if origin in (Union, UnionType):
        return st.one_of(*map(values_of, arguments))
    if origin is Mapping:
        return st.dictionaries(*map(values_of, arguments), max_size=1)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if kind is Timing:
        return timings()
    return st.builds(kind, **{name: values_of(hint) for name, hint in get_type_hints(kind).items()})


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    """Return a timing of any versions, and of further variants, each with its speedup."""
    hints = get_type_hints(Timing)
    known = {name: draw(values_of(Latency)) for name in draw(st.sets(st.sampled_from(VERSIONS)))}
    names = st.text(max_size=5).filter(lambda name: name not in TIMING_KEYS)
    further = draw(st.sets(names, max_size=1))
    rated = further | draw(st.sets(st.just(SEPARABLE)))
    return Timing(
        {**known, **{name: draw(values_of(Latency)) for name in further}},
        {name: draw(values_of(Speedup)) for name in rated},
        **{name: draw(values_of(hints[name])) for name in Timing._fields[2:]},
    )


_SCALARS: Mapping[Any, st.SearchStrategy[Any]] = {
    float: st.floats(1e-300, MOST),
    int: st.integers(0, 10**39),
    str: st.text(max_size=5),
    bool: st.booleans(),
    NoneType: st.none(),
}
LAYER_HINTS, REPORT_HINTS = get_type_hints(Layer), get_type_hints(Report)
MEASURED_OF_LAYERS = ("verdict", "note", "predictions", "causes")
MEASURED = ("peak_activation_bytes", "skipped", "predictions", "warnings")


@law
@given(
    timed=st.fixed_dictionaries({"cpu": values_of(Timing)}),
    where=values_of(Environment),
    of_layer=st.fixed_dictionaries(
        {name: values_of(LAYER_HINTS[name]) for name in MEASURED_OF_LAYERS}
    ),
    of_whole=st.fixed_dictionaries({name: values_of(REPORT_HINTS[name]) for name in MEASURED}),
)
def test_whatever_was_measured_is_read_back_equal(
    timed: dict[str, Any], where: Environment, of_layer: dict[str, Any], of_whole: dict[str, Any]
) -> None:
    layer = LAYER.layers[0]._replace(latency=timed, **of_layer)
    report = LAYER._replace(layers=(layer,), latency=timed, environment=where, **of_whole)
    assert read_again(report) == (report,)


def test_an_environment_is_of_what_was_measured() -> None:
    timing = timing_with(as_is=Latency(1e-3, None, 0.0, 1e-3, 1e-3, 1e-3, 5))
    where = Environment("a processor", 1, "float32", "contiguous", "tuned", "2.9", None, None)
    timed = LAYER._replace(latency={"cpu": timing}, environment=where)
    assert read_again(LAYER, timed) == (LAYER, timed)


# -- the same tables


@pytest.mark.parametrize("format_name", ["table", "json", "csv", "markdown"])
@pytest.mark.parametrize("explain", [False, True])
def test_every_format_of_a_report_read_back_is_that_of_the_original(
    format_name: str, explain: bool
) -> None:
    for report in (timed_layer(), LAYER, dscost.analyze("mobilenet_v3_small")):
        view = View(explain=explain)
        assert format_name in RENDERERS
        assert render(read_again(report), format_name, view) == render([report], format_name, view)


@pytest.mark.parametrize("format_name", ["table", "json", "csv", "markdown"])
def test_the_command_line_shows_a_saved_report_as_it_was(tmp_path: Path, format_name: str) -> None:
    (tmp_path / "net.yaml").write_text(
        "input: [3, 8, 8]\nlayers:\n  - {conv: 3, out_channels: 4}\n"
    )
    arguments = ("model", "net.yaml", "--no-time", "--format", format_name)
    original = run(*arguments, "--export", "json=r.json", cwd=tmp_path)
    again = run("model", "r.json", "--no-time", "--format", format_name, cwd=tmp_path)
    assert (original.returncode, again.returncode, again.stderr) == (0, 0, "")
    assert again.stdout == original.stdout


def test_a_timed_report_is_shown_with_its_times_and_not_timed_again(tmp_path: Path) -> None:
    made = "--cin", "8", "--cout", "8", "-k", "3", "--threads", "1", "--time-budget", "200ms"
    original = run("layer", *made, "--export", "json=r.json", cwd=tmp_path)
    again = run("model", "r.json", cwd=tmp_path)
    assert again.returncode == 0
    assert again.stdout == original.stdout
    assert "Measured on" in again.stdout


def test_reading_a_saved_report_imports_no_torch(save: WriteReports, tmp_path: Path) -> None:
    save(LAYER)
    code = (
        "import sys\n"
        "sys.argv = ['dscost', 'model', 'report.json']\n"
        "from dscost.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, {'torch', 'numpy', 'pydantic'} & set(sys.modules) or 'light', file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stderr.splitlines()[-1] == "0 light"


# -- a target like others, but counted already


def test_a_saved_report_is_a_target(save: WriteReports) -> None:
    report = dscost.analyze("resnet18")
    path = save(report)
    assert dscost.analyze(path) == report
    assert dscost.analyze(Path(path)) == report


def test_rooflines_can_be_applied_to_a_saved_report(save: WriteReports) -> None:
    report = dscost.analyze("resnet18")
    assert dscost.analyze(save(report), on="raspberry_pi_4") == dscost.analyze(
        "resnet18", on="raspberry_pi_4"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch": 2}, "--batch"),
        ({"batch": 0}, "--batch"),
        ({"input": torch.zeros(2, 3)}, "--input"),
        ({"input": (1, 3, 8, 8), "dtype": "float16"}, "--input, --dtype"),
        ({"settings": {"width": 2}}, "--set"),
        ({"kwargs": {"width": 2}}, "--kwargs"),
        ({"train": True}, "--train"),
    ],
)
def test_a_saved_report_is_not_counted_anew(
    save: WriteReports, options: dict[str, Any], told: str
) -> None:
    path = save(LAYER)
    with pytest.raises(InputError) as refused:
        dscost.analyze(path, **options)
    assert (
        str(refused.value) == f"{path} is a saved report, counted already: {told} cannot change it"
    )


def test_a_saved_report_cannot_be_timed_again(save: WriteReports) -> None:
    path = save(LAYER)
    with pytest.raises(
        InputError, match=r"report\.json is a saved report: it cannot be timed again"
    ):
        dscost.analyze(path, time=True)


def test_a_saved_report_without_times_says_why_it_has_none(
    save: WriteReports, tmp_path: Path
) -> None:
    save(dscost.analyze("resnet18"))
    last = run("model", "report.json", cwd=tmp_path).stdout.splitlines()[-1]
    assert last == "Not timed: a saved report has the figures of a model, not the model itself."


def test_a_saved_report_cannot_be_verified(save: WriteReports) -> None:
    with pytest.raises(InputError, match="it has the figures of a model, not the model itself"):
        dscost.verify(save(LAYER))


def test_a_partial_total_stays_an_error_when_strict(save: WriteReports) -> None:
    path = save(LAYER._replace(coverage=LAYER.coverage._replace(unknown=("aten::odd (1×)",))))
    assert count(path).saved
    with pytest.raises(InputError, match=r"operators of unknown cost: aten::odd \(1×\)"):
        count(path, strict=True)


# -- several in one file


def test_one_of_several_is_asked_for_by_name_or_index(save: WriteReports) -> None:
    first, second = (
        dscost.analyze("resnet18"),
        dscost.analyze("mobilenet_v1")._replace(target="timm:some/net"),
    )
    path = save(first, second)
    assert read_saved(f"{path}:resnet18") == read_saved(f"{path}:0") == first
    assert read_saved(f"{path}:timm:some/net") == read_saved(f"{path}:1") == second


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("", "holds 3 reports, ask for one as {path}:NAME (0: a, 1: b, 2: b)"),
        (":b", "2 reports are called 'b', ask by index (0: a, 1: b, 2: b)"),
        (":3", "there is no report 3 (0: a, 1: b, 2: b)"),
    ],
)
def test_several_are_named_where_it_is_unclear_which_is_meant(
    save: WriteReports, asked: str, told: str
) -> None:
    path = save(*(LAYER._replace(target=name) for name in "abb"))
    with pytest.raises(InputError) as refused:
        read_saved(path + asked)
    assert str(refused.value) == f"{path}: {told.format(path=path)}"


def test_an_unknown_report_is_refused_with_the_nearest_spelling(save: WriteReports) -> None:
    path = save(dscost.analyze("resnet18"))
    with pytest.raises(UnknownNameError) as refused:
        read_saved(f"{path}:resnet81")
    assert str(refused.value) == f"unknown report 'resnet81' (did you mean 'resnet18'?) in {path}"


# -- later and earlier versions


def test_keys_that_are_not_known_are_passed_over() -> None:
    whole = json.loads(written(LAYER))
    later = {"since": "later"}
    whole |= later
    whole["subjects"][0] |= later
    whole["subjects"][0]["layers"][0] |= later
    whole["subjects"][0]["layers"][0]["conv"] |= later
    whole["subjects"][0]["totals"]["as_is"] |= later
    assert parse_reports(json.dumps(whole), "report.json") == (LAYER,)


def test_keys_that_came_later_may_be_missing() -> None:
    whole = json.loads(written(LAYER))
    for key in ("assumed", "predictions", "skipped", "peak_activation_bytes", "warnings"):
        del whole["subjects"][0][key]
    (read,) = parse_reports(json.dumps(whole), "report.json")
    assert read == LAYER._replace(assumed=())


# -- what is no report


def changed(*path: str | int, to: Any) -> str:
    whole = json.loads(written(LAYER))
    *outer, last = path
    place: Any = whole
    for key in outer:
        place = place[key]
    place[last] = to
    return json.dumps(whole)


COST = ("subjects", 0, "layers", 0, "cost")
NO_REPORT = (
    "not a saved report: expected 'schema_version' and 'subjects', as dscost model … --json writes"
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1:1: not JSON: Expecting value"),
        ('{"schema_version": 1,\n "subjects": [', ":2:15: not JSON: Expecting value"),
        ('{"a": NaN}', ":1:7: not JSON: NaN is no number"),
        ("[" * 100_000, ":1:1: not JSON: nested too deep"),
        ("[]", f": {NO_REPORT}"),
        ('{"version": 1, "models": {}}', f": {NO_REPORT}"),
        ('{"schema_version": 1, "subjects": []}', ": holds no report"),
        ('{"schema_version": 1, "subjects": 3}', ": subjects: expected a list, found 3"),
        (changed("schema_version", to=2), ": expected schema_version 1, found 2"),
        (changed("schema_version", to=None), ": expected schema_version 1, found null"),
        (changed("environment", to=[]), ": environment: expected an object, found a list"),
        (
            changed(*COST, "params", to="9k"),
            ': subjects[0].layers[0].cost.params: expected a whole number, found "9k"',
        ),
        (
            changed(*COST, "macs", to=True),
            ": subjects[0].layers[0].cost.macs: expected a whole number, found true",
        ),
        (
            changed(*COST, "macs", to=2.5),
            ": subjects[0].layers[0].cost.macs: expected a whole number, found 2.5",
        ),
        (changed(*COST, to={}), ": subjects[0].layers[0].cost: missing key 'params'"),
        (
            changed("subjects", 0, "layers", 0, "input_shape", to=[1, "8"]),
            ': subjects[0].layers[0].input_shape[1]: expected a whole number, found "8"',
        ),
        (
            changed("subjects", 0, "layers", 0, "conv", "groups", to=5),
            ": subjects[0].layers[0].conv: groups=5 does not divide in_channels=8; "
            "groups=5 does not divide out_channels=16",
        ),
        (
            changed("subjects", 0, "layers", 0, "conv", "padding", to="valid"),
            ': subjects[0].layers[0].conv.padding: expected "same", found "valid"',
        ),
        (
            changed("subjects", 0, "layers", 0, "stages", to={}),
            ": subjects[0].layers[0].stages: missing key 'standard', which is in 'variants'",
        ),
        (
            changed("subjects", 0, "layers", 0, "variants", "standard", "traffic_bytes", to=0),
            ": subjects[0].layers[0].variants.standard: expected the bytes of inputs, outputs and weights, found 0",
        ),
        (
            changed("subjects", 0, "layers", 0, "input_shape", to=[]),
            ": subjects[0].layers[0].input_shape: expected batch, channels, height and width",
        ),
        (
            changed("subjects", 0, "layers", 0, "input_shape", 0, to=0),
            ": subjects[0].layers[0].input_shape: expected batch, channels, height and width",
        ),
        (
            changed("subjects", 0, "inputs", to=[]),
            ": subjects[0].inputs: expected one input, found none",
        ),
        (
            changed("subjects", 0, "layers", 0, "formula_ratio", to=0),
            ": subjects[0].layers[0].formula_ratio: expected a number above 0, found 0",
        ),
        (
            changed("subjects", 0, "layers", 0, "formula_ratios", to={"ghost": 0.0}),
            ": subjects[0].layers[0].formula_ratios.ghost: expected a number above 0, found 0",
        ),
        (
            changed("subjects", 0, "layers", 0, "formula_ratios", to={"params": 0.5}),
            ": subjects[0].layers[0].formula_ratios: found 'params', which is not in 'variants'",
        ),
        (
            changed("subjects", 0, "layers", 0, "variants", to={}),
            ": subjects[0].layers[0].variants: missing key 'standard'",
        ),
        (
            changed("subjects", 0, "layers", to=[]),
            ": subjects[0].layers: expected one convolution, as of every layer",
        ),
        (
            changed("subjects", 0, "settings", to={}),
            ": subjects[0].settings: missing key 'depth_multiplier'",
        ),
    ],
)
def test_what_is_no_report_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_reports(text, "report.json")
    assert str(refused.value).startswith(f"report.json{told}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (
            (*COST, "macs"),
            -5,
            "subjects[0].layers[0].cost.macs: expected a whole number of at least 0, found -5",
        ),
        (
            ("subjects", 0, "totals", "as_is", "params"),
            -1,
            "subjects[0].totals.as_is.params: expected a whole number of at",
        ),
        (
            ("subjects", 0, "peak_activation_bytes"),
            -1,
            "subjects[0].peak_activation_bytes: expected a whole number of at",
        ),
        (
            ("subjects", 0, "coverage", "counted"),
            -1,
            "subjects[0].coverage.counted: expected a whole number of at least 0",
        ),
        (
            ("subjects", 0, "layers", 0, "calls"),
            -1,
            "subjects[0].layers[0].calls: expected a whole number of at least 0",
        ),
        (("subjects", 0, "layers"), [], "subjects[0].layers: expected one convolution"),
    ],
)
def test_figures_that_cannot_be_are_refused(
    path: tuple[str | int, ...], value: Any, told: str
) -> None:
    with pytest.raises(InputError) as refused:
        parse_reports(changed(*path, to=value), "report.json")
    assert str(refused.value).startswith(f"report.json: {told}")


@pytest.mark.parametrize("figure", ["params", "macs", "weight_bytes"])
@pytest.mark.parametrize("more", [-1, 1])
def test_totals_are_those_of_the_layers(more: int, figure: str) -> None:
    model = dscost.analyze("resnet18")
    found = getattr(model.totals.as_is, figure)
    totals = model.totals._replace(as_is=model.totals.as_is._replace(**{figure: found + more}))
    with pytest.raises(InputError) as refused:
        parse_reports(written(model._replace(totals=totals)), "r.json")
    told = f"found {found + more:,}, but its layers have {found:,}"
    assert str(refused.value) == f"r.json: subjects[0].totals.as_is.{figure}: {told}"
    with pytest.raises(InputError, match="layers: expected at least one layer, found none"):
        parse_reports(written(model._replace(layers=())), "r.json")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"macs": ', '"macs": 1, "macs": ', "duplicate key 'macs' (first on line "),
        ('"subjects"', '"subjects": [], "subjects"', "duplicate key 'subjects' (first on line "),
        ('"macs": ', '"macs": 1e999, "x": ', "numbers must be finite, found 1e999"),
        ('"macs": ', '"macs": -1e999, "x": ', "numbers must be finite, found -1e999"),
        ('"macs": ', '"macs": Infinity, "x": ', "not JSON: Infinity is no number"),
        (
            '"macs": ',
            f'"macs": {"9" * 5000}, "x": ',
            "a number of 5,000 characters, at most 40 are read",
        ),
        (
            '"macs": ',
            f'"macs": 0.{"9" * 500}, "x": ',
            "a number of 502 characters, at most 40 are read",
        ),
    ],
)
def test_what_json_would_let_pass_is_refused_at_its_place(old: str, new: str, told: str) -> None:
    text = written(LAYER).replace(old, new, 1)
    with pytest.raises(FileProblems) as refused:
        parse_reports(text, "report.json")
    (problem,) = refused.value.problems
    assert problem.message.startswith(told)
    line = text.splitlines()[problem.line - 1]
    assert line[problem.column - 1 :].startswith(
        (old[:5], "1e999", "-1e999", "Infinity", "9999", "0.9999")
    )


def test_what_a_later_version_found_out_is_shown_plainly() -> None:
    report = dscost.layer(in_channels=8, out_channels=8, kernel_size=3)
    timing = timing_with(as_is=Latency(1e-3, None, 0.0, 1e-3, 1e-3, 1e-3, 5))
    where = Environment("a processor", 1, "float32", "contiguous", "tuned", "2.9", None, None,
                        noise=(Noise("solar_flare", 3.5, 2.0, "cpu"),))  # fmt: skip
    causes = (
        Cause("cold_fusion", "cpu", {"share": 0.5, "by": "hand"}),
        Cause("backend", "cpu", {}),
    )
    layer = report.layers[0]._replace(latency={"cpu": timing}, causes=causes)
    later = report._replace(layers=(layer,), latency={"cpu": timing}, environment=where, assumed=("colour",),
                            doubts=(Doubt("haunted", "Something walks."),))  # fmt: skip
    assert read_again(later) == (later,)
    for name in ("table", "markdown"):
        text = render(later, name, View(explain=True))
        assert "assumed: colour" in text
        assert "Noisy: solar flare 3.5, in order up to 2 (cpu)" in text
        assert "Cold fusion: share 0.5, by hand." in text
        assert "Slower backend." in text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "dscost: cannot read report.json: No such file or directory"),
        (b"\xff\xfe{\x00", "report.json:1:1: not UTF-8 text but UTF-16 or UTF-32"),
        (b"{", "report.json:1:2: not JSON: Expecting property name enclosed in double quotes"),
    ],
)
def test_the_command_line_tells_it_in_one_line_and_exits_2(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "report.json").write_bytes(content)
    ran = run("model", "report.json", "--no-time", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"{told}\n")


def test_a_mark_at_the_beginning_of_the_file_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(written(LAYER), encoding="utf-8-sig")
    assert read_saved(path) == LAYER


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yield the keys that lead to every value of a document."""
    yield path
    entries = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, entry in entries:
        yield from places(entry, *path, key)


WHOLE = json.loads(written(LAYER))
PLACES = [path for path in places(WHOLE) if path]


@law
@given(
    path=st.sampled_from(PLACES),
    value=st.sampled_from([None, True, -1, 2.5, "text", [], {}, [{}], [None]]),
)
def test_no_value_anywhere_breaks_the_reading(path: tuple[str | int, ...], value: Any) -> None:
    with suppress(InputError):
        (report,) = parse_reports(changed(*path, to=value), "report.json")
        assert parse_reports(written(report), "report.json") == (report,)


@law
@given(length=st.integers(0, len(written(LAYER)) - 1))
def test_a_truncated_report_is_refused(length: int) -> None:
    with pytest.raises(InputError, match=r"^report\.json:\d+:\d+: not JSON: "):
        parse_reports(written(LAYER)[:length], "report.json")


def test_a_saved_layer_is_shown_without_the_predictions_that_it_lacks() -> None:
    layer = LAYER.layers[0]._replace(predictions={"t4": {}})
    (again,) = read_again(LAYER._replace(layers=(layer,)))
    assert "depthwise-separable" in render([again], "table", View())
