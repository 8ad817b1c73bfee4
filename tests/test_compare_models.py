"""A table of models: unrelated ones are a row each, and all take turns where they are timed."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from program import run
from properties import timing_with
from torch import nn

import dscost
from dscost.analysis import bench
from dscost.comparing.differences import Comparison
from dscost.errors import InputError, UnknownNameError
from dscost.rendering import View, render
from dscost.reports.records import Environment, Latency, document
from dscost.schemas import schema
from dscost.timing.engine import Case
from dscost.timing.samples import Block, Measurement, Quartet, Round

UNRELATED = ("resnet18", "mobilenet_v2", "efficientnet_b0")
PER_MODEL = {"resnet18": (11_689_512, 1_814_073_344), "mobilenet_v2": (3_504_872, 300_774_272)}
"""Parameters and MACs as published, torchvision's and fvcore's."""


def rendered(comparison: Comparison, format_name: str = "table", **view: Any) -> str:
    return render(comparison, format_name, View(**view))


def rows_of(comparison: Comparison) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(rendered(comparison, "csv"))))


def table(text: str) -> list[list[str]]:
    """Return the cells of the first table."""
    lines = [*text.splitlines(), ""]
    head = next(at for at, line in enumerate(lines) if line.startswith("model  "))
    rows = lines[head + 2 : [*lines, ""].index("", head)]
    return [[cell.strip() for cell in row.split("   ") if cell.strip()] for row in rows]


# -- which models are related


@pytest.mark.parametrize(
    ("targets", "related"),
    [
        (("resnet18", "resnet34"), True),
        (("resnet18", "resnet50"), True),
        (("mobilenet_v3_small", "mobilenet_v3_large"), True),
        (("resnet18", "mobilenet_v2"), False),
        (("mobilenet_v2", "efficientnet_b0"), False),
        (("vgg16", "xception"), False),
        (("resnet18", "resnet34", "mobilenet_v2"), False),
        (("mobilenet_v2", "resnet18", "resnet34"), False),
    ],
)
def test_models_are_related_where_each_two_share_a_fifth_of_their_layers(
    targets: tuple[str, ...], related: bool
) -> None:
    comparison = dscost.compare(targets)
    assert comparison.are_related is related
    assert ("\nLayers of " in rendered(comparison)) is related
    assert comparison.to_dict()["related"] is related


def test_another_width_of_a_network_is_related_though_no_layer_is_the_same() -> None:
    half = dscost.analyze("mobilenet_v1", settings={"width": 0.5})
    assert dscost.compare("mobilenet_v1", half).are_related


def network_of(*channels: int) -> nn.Sequential:
    pairs = zip((3, *channels), channels, strict=False)
    return nn.Sequential(*(nn.Conv2d(inside, out, 1) for inside, out in pairs))


@pytest.mark.parametrize(("shared", "related"), [(2, True), (1, False)])
def test_a_fifth_is_the_least(shared: int, related: bool) -> None:
    both = [nn.Conv2d(3, 3, 1) for _ in range(shared)]
    ours = nn.Sequential(*both, *(nn.Conv2d(3, 3, 3) for _ in range(10 - shared)))
    # under another name no layer is another's, unless it is the same
    theirs = nn.Sequential()
    for at, layer in enumerate([*both, *(nn.Conv2d(3, 3, 5) for _ in range(10 - shared))]):
        theirs.add_module(f"other{at}", layer)
    assert dscost.compare(ours, theirs, input=(1, 3, 64, 64)).are_related is related


# -- the table


def test_unrelated_models_are_a_row_each_with_their_published_figures() -> None:
    text = rendered(dscost.compare(UNRELATED), width=100)
    assert table(text) == [
        ["resnet18", "11.69M", "1.814G", "1×", "6.699 MiB"],
        ["mobilenet_v2", "3.505M", "300.8M", "6.0× fewer", "9.762 MiB"],
        ["efficientnet_b0", "5.289M", "385.8M", "4.7× fewer", "9.762 MiB"],
    ]
    assert text.startswith("mobilenet_v2, efficientnet_b0 against resnet18\n")
    assert "Layers" not in text
    assert "FLOPs" not in text  # which no column has


def test_layers_are_forced_and_left_out() -> None:
    forced = rendered(dscost.compare("resnet18", "mobilenet_v2", layers=True))
    assert "\nLayers of mobilenet_v2 against resnet18: " in forced
    assert table(forced)[0][0] == "resnet18"
    without = rendered(dscost.compare("resnet18", "resnet34", layers=False))
    assert "Layers" not in without
    assert [row[0] for row in table(without)] == ["resnet18", "resnet34"]


@pytest.mark.parametrize("option", ["--top 3", "--sort params", "--depth 1", "--all"])
def test_what_is_asked_of_layers_shows_them(option: str) -> None:
    ran = run("compare", "resnet18", "mobilenet_v2", *option.split())
    assert "\nLayers of mobilenet_v2 against resnet18: " in ran.stdout
    ran = run("compare", "resnet18", "resnet34", "--no-layers", *option.split())
    name = option.split()[0]
    told = f"dscost: {name} speaks of layers, which --no-layers leaves out\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", told)


def test_columns_are_those_of_the_table_that_is_shown() -> None:
    asked = ("traffic_bytes", "macs")
    text = rendered(dscost.compare("resnet18", "mobilenet_v2"), columns=asked)
    assert table(text)[1] == ["mobilenet_v2", "165.0 MiB", "300.8M"]
    text = rendered(dscost.compare("resnet18", "mobilenet_v2"), columns=("macs_change",))
    assert "\nLayers of mobilenet_v2 against resnet18: " in text
    with pytest.raises(UnknownNameError, match="unknown column 'macs_change'"):
        rendered(dscost.compare("resnet18", "mobilenet_v2", layers=False), columns=("macs_change",))


def test_csv_has_a_row_for_each_model_with_its_own_figures() -> None:
    rows = rows_of(dscost.compare(UNRELATED[:2]))
    for row in rows:
        assert (int(row["params"]), int(row["macs"])) == PER_MODEL[row["model"]]
    assert [row["what"] for row in rows] == ["reference", "total"]
    assert int(rows[1]["macs_change"]) == 300_774_272 - 1_814_073_344


# -- models that take turns


FRACTIONS = {"second": 2.0, "third": 0.5}
"""How much faster than the first, whose pass takes 8 ms."""
FIRST_S = 8e-3


def made_up(case: Case) -> Measurement:
    """Return eight rounds in which a case is as fast as `FRACTIONS` says."""
    second_s = FIRST_S / FRACTIONS.get(case.name, 1.0)
    quartet = Quartet((Block(FIRST_S),) * 2, (Block(second_s),) * 2)
    return Measurement([Round.of([quartet]) for _ in range(8)])


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[list[Case]]:
    """Return the cases of each comparison; the clock is made up."""
    asked: list[list[Case]] = []

    def compare(cases: Sequence[Case], **_: Any) -> list[Measurement]:
        asked.append(list(cases))
        for case in cases:
            case.first()
            case.second()
        return [made_up(case) for case in cases]

    monkeypatch.setattr(bench, "compare", compare)
    return asked


def named_files(folder: Path) -> list[str]:
    for name in ("first", "second", "third"):
        text = f"input: [3, 8, 8]\nlayers:\n  - {{conv: 3, out_channels: 4, name: {name}}}\n"
        (folder / name).write_text(text)
        (folder / name).rename(folder / f"{name}.yaml")
    return [str(folder / f"{name}.yaml") for name in ("first", "second", "third")]


def labelled(fractions: Mapping[str, float]) -> Mapping[str, float]:
    return {f"{name}.yaml": fraction for name, fraction in fractions.items()}


@pytest.fixture
def timed(turns: list[list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    monkeypatch.setitem(globals(), "FRACTIONS", labelled(FRACTIONS))
    return dscost.compare(named_files(tmp_path), time=True, threads=1, layers=False)


def test_all_models_take_turns_with_the_first_in_one_run(
    timed: Comparison, turns: list[list[Case]]
) -> None:
    (cases,) = turns
    assert [case.name for case in cases] == ["second.yaml", "third.yaml", "against itself"]
    assert len({case.first for case in cases}) == 1
    assert [one.timed for one in timed.contenders] == [True] * 3
    speedups = [one.speedups["cpu"].median for one in timed.versus]
    assert speedups == pytest.approx([2.0, 0.5])
    medians = [one.latencies["cpu"].median_s for one in timed.contenders]
    assert medians == pytest.approx([8e-3, 4e-3, 16e-3])


def test_latencies_have_the_ratio_of_their_pairs(
    turns: list[list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # all are equally fast, and the machine was half as fast while it looked at the third
    slow = {"second.yaml": 8e-3, "third.yaml": 16e-3}

    def compare(cases: Sequence[Case], **_: Any) -> list[Measurement]:
        blocks = [(Block(slow.get(case.name, 8e-3)),) * 2 for case in cases]
        return [Measurement([Round.of([Quartet(one, one)])] * 8) for one in blocks]

    monkeypatch.setattr(bench, "compare", compare)
    found = dscost.compare(named_files(tmp_path), time=True, threads=1)
    first, *others = (one.latencies["cpu"].median_s for one in found.contenders)
    assert others == pytest.approx([first, first])


def test_inputs_in_a_second_are_those_of_the_batch_that_was_measured(
    turns: list[list[Case]], tmp_path: Path
) -> None:
    found = dscost.compare(
        named_files(tmp_path), time=True, threads=1, timing={"batches": (4,)}, layers=False
    )
    per_s = found.to_dict()["compared"][0]["latency"]["cpu:batch4"]["throughput_per_s"]
    assert per_s == pytest.approx(4 / 8e-3)


def test_a_row_has_latency_ratio_and_rate(timed: Comparison) -> None:
    first, second, third = table(rendered(timed, width=100))
    assert first[0] == "first.yaml"
    assert first[-3:] == ["8.00 ms [8.00, 8.00]", "1×", "125"]
    assert second[-3].startswith("4.00 ms")
    assert second[-1] == "250"
    assert third[-3].startswith("16.0 ms")
    assert third[-1] == "62.5"
    assert "2.0" in second[-2]
    text = rendered(timed)
    assert "Measured on " in text
    assert "1 thread, contiguous, torch " in text


@pytest.mark.parametrize("width", [80, 100, 140])
def test_nothing_that_decides_is_lost(timed: Comparison, width: int) -> None:
    text = rendered(timed, width=width)
    assert max(map(len, text.splitlines())) <= width
    for cell in ("4.00 ms [4.00, 4.00]", "16.0 ms [16.0, 16.0]"):
        assert cell in text
    if width >= 100:
        assert "params" in text
        assert "MACs" in text


@pytest.mark.parametrize("width", [50, 60])
def test_where_hardly_anything_fits_intervals_go_before_what_decides(
    timed: Comparison, width: int
) -> None:
    text = rendered(timed, width=width)
    assert max(map(len, text.splitlines())) <= width
    first, second, third = table(text)
    assert first[1:4] == ["6,912", "8.00 ms", "1×"]
    assert second[2:4] == ["4.00 ms", "2.00× faster"]
    assert third[2:4] == ["16.0 ms", "2.00× slower"]


def test_rows_and_json_say_the_ratio_and_that_it_is_one(timed: Comparison) -> None:
    first, second, third = rows_of(timed)
    assert (first["speedup_median"], first["setting"]) == ("", "cpu")
    assert float(first["latency_s"]) == pytest.approx(8e-3)
    assert float(second["speedup_median"]) == pytest.approx(2)
    assert (second["verdict"], third["verdict"]) == ("faster", "slower")
    assert float(second["throughput_per_s"]) == pytest.approx(250)
    assert float(second["latency_s_reference"]) == pytest.approx(8e-3)
    found = json.loads(rendered(timed, "json"))
    assert [one.message for one in Draft7Validator(schema("comparison")).iter_errors(found)] == []
    assert found["environment"]["threads"] == 1
    latency = found["differences"][0]["latency_s"]["cpu"]
    assert latency["side_by_side"] is True
    assert latency["speedup"]["median"] == pytest.approx(2)
    assert found["compared"][1]["latency"]["cpu"]["throughput_per_s"] == pytest.approx(250)
    assert found["compared"][1]["timed"] is True


def test_related_models_have_both_tables_and_each_latency_once(
    turns: list[list[Case]], tmp_path: Path
) -> None:
    found = dscost.compare(named_files(tmp_path)[0], "resnet18", layers=True)
    assert "latency" not in rendered(found)
    same = named_files(tmp_path)[0]
    text = rendered(dscost.compare(same, same, time=True, threads=1))
    assert [row[0] for row in table(text)] == ["first.yaml", "first.yaml (2)"]
    assert "\nparams" in text
    assert "\nlatency" not in text
    assert "separate runs" not in text


def test_every_setting_has_a_table_of_its_own(turns: list[list[Case]], tmp_path: Path) -> None:
    found = dscost.compare(
        named_files(tmp_path)[:2],
        time=True,
        threads=1,
        memory_format=["contiguous", "channels_last"],
        layers=False,
    )
    assert list(found.contenders[1].latencies) == ["cpu", "cpu:channels_last"]
    assert len(turns) == 2
    text = rendered(found)
    (head,) = (line for line in text.splitlines() if line.startswith("cpu:channels_last "))
    assert head.split("   ")[-1].strip() == "1/s"
    assert "latency [95 %]" in head
    (first,) = (line for line in text.splitlines() if line.startswith("cpu "))
    assert "params" in first
    whats = [(row["what"], row["setting"]) for row in rows_of(found)]
    assert whats == [
        ("reference", "cpu"),
        ("latency", "cpu:channels_last"),
        ("total", "cpu"),
        ("latency", "cpu:channels_last"),
    ]


def test_a_batch_is_many_inputs(turns: list[list[Case]], tmp_path: Path) -> None:
    found = dscost.compare(named_files(tmp_path)[:2], time=True, threads=1, batch=4)
    (row, *_) = rows_of(found)
    assert float(row["throughput_per_s"]) == pytest.approx(4 / 8e-3)


def saved_report(folder: Path, device: str | None, *, name: str = "before.json") -> str:
    """Write a report of a processor, or of this one, in which a pass took 5 ms."""
    latency = Latency(5e-3, None, 0.0, 5e-3, 5e-3, 5e-3, 5)
    where = Environment(
        device or bench.cpu_name(), 1, "float32", "contiguous", "tuned", "2.9", None, None
    )
    report = dscost.analyze("resnet18")._replace(
        latency={"cpu": timing_with(as_is=latency)}, environment=where
    )
    (folder / name).write_text(json.dumps(document([report], command="model")))
    return str(folder / name)


@pytest.mark.parametrize(
    ("device", "told"),
    [
        (
            None,
            "before.json is a saved report: its latency is of a run of its own, "
            "so no ratio follows from it.",
        ),
        ("another processor", "before.json is a saved report: its latency was measured on another "
         "processor with 1 thread, the others' on "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [0, 2])
def test_a_saved_report_keeps_its_latency_and_has_no_ratio(
    device: str | None, told: str, at: int, turns: list[list[Case]], tmp_path: Path
) -> None:
    targets = named_files(tmp_path)[:2]
    targets.insert(at, saved_report(tmp_path, device))
    found = dscost.compare(targets, time=True, threads=1)
    assert any(note.startswith(told) for note in found.notes)
    row = table(rendered(found))[at]
    assert row[0] == "before.json"
    assert "5.00 ms" in row
    assert row[-2] in ("own run", "another machine")
    with_ratio = [one.label for one in found.versus if one.speedups]
    assert with_ratio == ([] if at == 0 else ["second.yaml"])
    assert found.contenders[at].report.environment != found.environment


def test_a_saved_report_without_a_latency_says_so(turns: list[list[Case]], tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(
        json.dumps(document([dscost.analyze("resnet18")], command="model"))
    )
    found = dscost.compare(named_files(tmp_path)[0], tmp_path / "old.json", time=True, threads=1)
    assert "old.json is a saved report that has no latency of the whole model." in found.notes
    assert [one.timed for one in found.contenders] == [True, False]


def test_models_that_do_not_fit_into_memory_together_are_named(
    turns: list[list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wide(name: str) -> str:
        text = f"input: [3, 8, 8]\nlayers:\n  - {{conv: 1, out_channels: 4000, name: {name}}}\n"
        text += "  - {conv: 1, out_channels: 4000, name: last}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
        return str(tmp_path / f"{name}.yaml")

    # 64 MB of weights each, which are there twice while one is made
    monkeypatch.setattr(bench, "available_bytes", lambda: 220_000_000)
    found = dscost.compare(wide("one"), wide("two"), wide("three"), time=True, threads=1)
    assert [one.timed for one in found.contenders] == [True, False, False]
    (two, three) = found.notes[-2:]
    assert two.startswith("Not timed: two.yaml and the models before it need ")
    assert two.endswith(" of memory at once, 209.8 MiB are free; name fewer models.")
    assert three.startswith("Not timed: three.yaml and ")


def test_only_saved_reports_cannot_be_timed(tmp_path: Path) -> None:
    saved = saved_report(tmp_path, None)
    with pytest.raises(InputError) as refused:
        dscost.compare(saved, saved, time=True)
    assert str(refused.value) == "there is nothing to time: all targets are saved reports"


def test_options_of_measuring_need_time() -> None:
    ran = run("compare", "resnet18", "mobilenet_v2", "--threads", "2")
    told = "dscost: --threads needs --time: nothing is measured without\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", told)


def test_the_command_line_times_as_the_library_does(
    turns: list[list[Case]], tmp_path: Path
) -> None:
    ran = run("compare", *named_files(tmp_path)[:2], "--time", "--threads", "1", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert found["differences"][0]["latency_s"]["cpu"]["speedup"]["median"] > 0


def test_what_failed_in_time_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "compare", lambda cases, **_: [Measurement() for _ in cases])
    found = dscost.compare(
        named_files(tmp_path)[:2], time=True, threads=1, time_budget_s=5.0, layers=False
    )
    assert "second.yaml was not timed within 5.00 s (--time-budget)." in found.notes
    assert table(rendered(found))[0][0] == "first.yaml"
    assert found.environment is None


def test_what_was_asked_for_and_is_missing_is_told_to_who_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "compare", lambda cases, **_: [Measurement() for _ in cases])
    arguments = (*named_files(tmp_path)[:2], "--time", "--threads", "1", "-q", "-o", "x.json")
    ran = run("compare", *arguments, "--time-budget", "5s", cwd=tmp_path)
    told = "dscost: second.yaml was not timed within 5.00 s (--time-budget).\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", told)


def test_a_table_of_models_says_on_a_terminal_what_else_there_is() -> None:
    def shown(*targets: str, **how: bool) -> str:
        return render(dscost.compare(*targets, **how), "table", View(width=120))  # type: ignore[arg-type]

    hint = "--layers shows the layers, of which they share less than a fifth; --time times them in turns."
    assert hint in shown("resnet18", "mobilenet_v2")
    assert "--layers shows" not in shown("resnet18", "mobilenet_v2", layers=False)
    assert "--time times them" not in shown("resnet18", "resnet34")
    assert "--layers" not in run("compare", "resnet18", "mobilenet_v2").stdout


def test_a_comparison_is_timed_in_the_dtype_that_it_is_counted_in() -> None:
    with pytest.raises(InputError) as refused:
        dscost.compare("resnet18", "resnet34", time=True, timing={"dtypes": "int8"})
    assert str(refused.value) == (
        "timing: each model is timed in the dtype it is counted in, found ('int8',): give dtype='int8'"
    )
