"""What pages say of runtimes: what ran, what it was given, what became of it and where its time went."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from program import run
from test_timing_sheets import COUNTED, cells, column, measured, timing

import dscost
from dscost.cli.measuring import Measuring
from dscost.pages.advice import advice_sentence
from dscost.pages.causes import cause_lines, sentences_of
from dscost.pages.runs import KERNELS_SHOWN, engine_of, run_by, run_sheets
from dscost.pages.timings import settings_sheet
from dscost.pages.wording import SHORT_TITLES
from dscost.rendering import View, render
from dscost.reports.records import Advice, Cause, Ran, Report, RunNode

VERSIONS = {"onnxruntime": "1.32.0", "onnx": "1.23.2", "ncnn": "1.0.1", "elsewhere": "7.1"}
BY = "onnx's evaluator 1.23.2"
NODES = tuple(RunNode(f"conv_{at}", "Conv", (10 - at) * 1e-5, f"jit_{at}") for at in range(10))
"""They take 100 µs down to 10 µs, 550 µs in all."""


def by(way_in: str, *fused: str, nodes: tuple[RunNode, ...] = (), error: float = 1.23e-6) -> Ran:
    return Ran(way_in, error, BY, fused, nodes)


ON_TORCH = timing(3.2e-3, 0.8e-3)
ON_ORT = timing(2.4e-3, 0.4e-3)._replace(
    ran={
        "standard": by("ONNX", "BatchNormalization folded into Conv", "Conv + Relu"),
        "depthwise_separable": by("ONNX", "Conv + Relu ×2", nodes=NODES),
    }
)
ON_NCNN = timing(1.8e-3, 0.6e-3)._replace(ran={"standard": by("ONNX, by pnnx", error=0.0)})


BOTH = measured({"cpu": ON_TORCH, "cpu:onnxruntime": ON_ORT}, runtimes=VERSIONS)
ALONE = measured({"cpu:onnxruntime": ON_ORT}, runtimes=VERSIONS, torch_version="")


def text(report: Report, **view: object) -> str:
    return render(report, "table", View(**view))  # type: ignore[arg-type]


# -- what ran


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("cpu", "torch 2.13.0"),
        ("cpu:channels_last:batch8", "torch 2.13.0"),
        ("cpu:torch-compile", "torch.compile 2.13.0"),
        ("cpu:onnxruntime:int8", "ONNX Runtime 1.32.0"),
        ("cpu:openvino", "OpenVINO"),
        ("cpu:elsewhere", "elsewhere 7.1"),
    ],
)
def test_what_ran_is_told_with_the_version_that_the_report_has(key: str, expected: str) -> None:
    assert BOTH.environment is not None
    assert engine_of(key, BOTH.environment) == expected


def test_the_way_in_is_told_where_it_is_not_a_module() -> None:
    where = BOTH.environment
    assert where is not None
    assert run_by("cpu:onnxruntime", ON_ORT, where) == "ONNX Runtime 1.32.0, by ONNX"
    compiled = ON_TORCH._replace(ran={"standard": by("module")})
    assert run_by("cpu:torch-compile", compiled, where) == "torch.compile 2.13.0"


def test_the_method_tells_what_ran_and_names_no_torch_that_took_no_part() -> None:
    said = " ".join(text(ALONE).split())
    assert "Measured on made up, 1 thread, ONNX Runtime 1.32.0, by ONNX, float32: random" in said
    assert "torch" not in said
    assert "contiguous" not in said


def test_the_method_tells_of_every_runtime() -> None:
    three = measured(
        {"cpu": ON_TORCH, "cpu:onnxruntime": ON_ORT, "cpu:ncnn": ON_NCNN}, runtimes=VERSIONS
    )
    said = " ".join(text(three).split())
    assert "1 thread, contiguous, torch 2.13.0, float32: random" in said
    assert (
        "; in turns with ONNX Runtime 1.32.0, by ONNX, and with ncnn 1.0.1, by ONNX, by pnnx;"
        in said
    )
    assert "; under torch the clock says 4.00× faster" in said


def test_a_caption_names_all_that_ran() -> None:
    assert "made up, 1 thread, torch 2.13.0, ONNX Runtime 1.32.0" in render(BOTH, "latex", View())
    assert "made up, 1 thread, ONNX Runtime 1.32.0" in render(ALONE, "latex", View())


def test_int8_is_told_as_what_it_was_run_in() -> None:
    key = "cpu:onnxruntime:int8"
    said = " ".join(text(measured({key: ON_ORT}, runtimes=VERSIONS)).split())
    assert "1 thread, int8, ONNX Runtime 1.32.0, by ONNX: random" in said


def test_layers_of_int8_count_a_byte_for_each_value() -> None:
    cost = dscost.layer(256, 256, 3, dtype="int8").totals.standard
    assert (cost.weight_bytes, cost.input_bytes) == (256 * 256 * 9, 256 * 14 * 14)


def test_causes_tell_the_runtime_that_they_are_of() -> None:
    slow = Cause("backend", "cpu", {"share_of_time": 0.6})
    dense = Cause("slow_dense", "cpu:onnxruntime:int8", {"share": 0.4})
    timings = {"cpu": ON_TORCH, "cpu:onnxruntime:int8": ON_ORT}
    (layer,) = measured(timings, runtimes=VERSIONS).layers
    layer = layer._replace(causes=(slow, dense))
    alone = layer._replace(causes=(dense,))
    of_torch, of_runtime = sentences_of(layer, is_all=False)
    assert not of_torch.startswith("Under")
    assert of_runtime.startswith("Under ONNX Runtime, int8: slow dense kernel")
    for one in (layer, alone):  # also where the first setting needs none
        *_, last = cause_lines([one], [one.name])
        assert last.startswith("Under ONNX Runtime, int8: ")
        assert "Slow dense kernel" in last


# -- a row a runtime


def test_the_sheet_of_settings_has_a_row_a_runtime_and_says_what_ran_it() -> None:
    sheet = settings_sheet(BOTH.latency, 1, BOTH.environment)
    assert column(sheet, "setting") == ["cpu", "cpu:onnxruntime"]
    assert column(sheet, "speedup") == ["4.00× faster [3.96, 4.04]", "6.0× faster [5.9, 6.1]"]
    assert column(sheet, "engine") == ["torch 2.13.0", "ONNX Runtime 1.32.0, by ONNX"]


def test_a_sheet_of_torch_alone_does_not_say_so_in_every_row() -> None:
    timings = {"cpu": ON_TORCH, "cpu:channels_last": ON_TORCH}
    assert "engine" not in cells(settings_sheet(timings, 1, BOTH.environment))[0]


def test_advice_names_the_runtime_that_it_is_for() -> None:
    advice = Advice("cpu:onnxruntime:int8", (), (), 0, 1, 32)
    assert "this CPU (ONNX Runtime, int8)" in advice_sentence(COUNTED, advice)


# -- how it ran it


def test_how_each_runtime_ran_it_stands_in_a_sheet() -> None:
    (sheet, _), notes = run_sheets(BOTH.latency, SHORT_TITLES)
    assert column(sheet, "version") == ["cpu:onnxruntime, standard", "cpu:onnxruntime, separable"]
    assert cells(sheet)[0] == {
        "version": "cpu:onnxruntime, standard",
        "way_in": "ONNX",
        "error": "1.2e-6",
        "reference": BY,
        "fused": "BatchNormalization folded into Conv, Conv + Relu",
    }
    assert notes[0].startswith("Errors are the largest of the outputs")


def test_standard_is_told_only_where_it_is_another_thing() -> None:
    titles = {**SHORT_TITLES, "as_is": "as it is"}
    standard = ON_ORT.ran["standard"]
    same = ON_ORT._replace(ran={"as_is": standard._replace(nodes=NODES), **ON_ORT.ran})
    (sheet, _), _ = run_sheets({"cpu:onnxruntime": same}, titles)
    assert column(sheet, "version") == ["as it is", "separable"]
    other = ON_ORT._replace(ran={"as_is": by("ONNX"), "standard": by("ONNX", "Conv")})
    (sheet,), _ = run_sheets({"cpu:onnxruntime": other}, titles)
    assert column(sheet, "version") == ["as it is", "standard"]


def test_kernels_that_take_longer_by_the_profile_than_the_calls_are_told_so() -> None:
    _, notes = run_sheets(ALONE.latency, SHORT_TITLES)  # 550 µs of 400
    assert "(separable 1.38×)" in notes[2]
    slower = {"cpu:onnxruntime": ON_ORT._replace(latencies=timing(2.4e-3, 0.43e-3).latencies)}
    _, notes = run_sheets(slower, SHORT_TITLES)  # 1.28 times as long
    assert len(notes) == 2


def test_a_runtime_without_a_profile_is_told_so() -> None:
    both = {"cpu": ON_TORCH, "cpu:onnxruntime": ON_ORT, "cpu:ncnn": ON_NCNN}
    _, notes = run_sheets(both, SHORT_TITLES)
    assert notes[-1] == "ncnn has no profile of its own."
    assert not any("no profile" in note for note in run_sheets(BOTH.latency, SHORT_TITLES)[1])


def test_stages_that_another_runtime_ran_alone_are_told_so() -> None:
    stages = {"depthwise": ON_TORCH.latencies["standard"]}
    alone = "Stages are timed alone"
    for timings, said in (
        ({"cpu": ON_TORCH._replace(stages=stages), "cpu:ncnn": ON_NCNN}, False),
        ({"cpu": ON_TORCH, "cpu:ncnn": ON_NCNN._replace(stages=stages)}, True),
    ):
        _, notes = run_sheets(timings, SHORT_TITLES)
        assert any(note.startswith(alone) for note in notes) is said


def test_the_sentence_of_a_layer_has_the_speedup_under_every_runtime() -> None:
    timings = {"cpu:onnxruntime": ON_ORT, "cpu:ncnn": ON_NCNN, "cpu": ON_TORCH}
    said = " ".join(text(measured(timings, runtimes=VERSIONS)).split())
    assert "under ONNX Runtime the clock says 6.0× faster [5.9, 6.1]" in said
    assert "; under ncnn 3.00× faster [2.97, 3.03]; under torch 4.00× faster [3.96, 4.04]." in said


def test_the_kernels_that_take_longest_come_first_and_the_rest_is_added_up() -> None:
    (_, sheet), notes = run_sheets(ALONE.latency, SHORT_TITLES)
    found = cells(sheet)
    assert found[0] == {
        "node": "separable", "op": "10 kernels", "kernel": "", "time": "550 µs", "share": "",
    }  # fmt: skip
    assert found[1] == {
        "node": "  conv_0", "op": "Conv", "kernel": "jit_0", "time": "100 µs", "share": "18%",
    }  # fmt: skip
    assert len(found) == 1 + KERNELS_SHOWN + 1
    assert found[-1]["node"] == "  (4 more)"
    assert found[-1]["time"] == "100 µs"  # 40 + 30 + 20 + 10
    assert notes[1].startswith("Kernels are by the own profile of each runtime")


def test_torch_itself_has_no_such_sheets() -> None:
    assert run_sheets({"cpu": ON_TORCH}, SHORT_TITLES) == ([], [])


@pytest.mark.parametrize("width", [60, 100, 200])
def test_only_an_explanation_tells_it_and_nothing_is_cut(width: int) -> None:
    said = " ".join(text(ALONE, explain=True, width=width).split())
    for part in ("1.2e-6", "BatchNormalization folded into Conv, Conv + Relu", "18%", "(4 more)"):
        assert part in said
    assert "1.2e-6" not in text(ALONE, width=width)
    shown = text(BOTH, explain=True, width=width)
    assert max(map(len, shown.splitlines())) <= width


def test_a_whole_model_tells_it_too() -> None:
    model = measured({"cpu:onnxruntime": ON_ORT}, dscost.analyze("resnet18"), runtimes=VERSIONS)
    said = text(model, explain=True)
    assert "BatchNormalization folded into Conv, Conv + Relu" in said
    assert "jit_0" in said
    assert "jit_0" not in text(model)


def test_convolutions_that_were_timed_as_networks_have_them_are_told_so() -> None:
    told = "Timed with BatchNorm and ReLU after each convolution"
    assert told in text(measured({"cpu": ON_TORCH}, with_norm=True))
    assert told not in text(measured({"cpu": ON_TORCH}))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"runtime": "openvino,torch", "memory_format": "channels_last"},
            ["--runtime", "openvino"],
        ),
        ({"runtime": "torch,openvino", "threads": 1}, ["--threads", "1"]),
        ({"memory_format": "channels_last"}, ["--memory-format", "channels_last"]),
    ],
    ids=["another runtime", "torch first", "torch alone"],
)
def test_the_command_that_is_advised_measures_by_the_first_runtime(
    given: dict[str, Any], expected: list[str]
) -> None:
    from dscost.cli.getting import _measured

    assert list(_measured(Measuring(**given))) == expected


# -- for programs


def test_a_saved_report_is_read_back_with_how_it_ran(tmp_path: Path) -> None:
    saved = tmp_path / "report.json"
    saved.write_text(render(BOTH, "json", View(command="layer")), encoding="utf-8")
    found = json.loads(saved.read_text())["subjects"][0]["latency"]["cpu:onnxruntime"]["ran"]
    assert found["standard"]["error"] == 1.23e-6
    assert found["depthwise_separable"]["nodes"][0] == {
        "name": "conv_0", "op": "Conv", "seconds": 10e-5, "kernel": "jit_0",
    }  # fmt: skip
    again = run("model", str(saved), "--explain", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["subjects"] == json.loads(saved.read_text())["subjects"]
    shown = run("model", str(saved), "--explain", cwd=tmp_path).stdout
    assert "BatchNormalization folded into Conv, Conv + Relu" in shown


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("ran", "standard", "error"), -1.0, "error"),
        (("ran", "standard", "error"), "small", "error"),
        (("ran", "depthwise_separable", "nodes", 0, "seconds"), -1.0, "seconds"),
        (("ran", "standard", "fused"), "Conv", "fused"),
    ],
    ids=["negative error", "error in words", "negative time", "no list"],
)
def test_a_saved_report_of_another_form_is_refused_with_the_place(
    path: tuple[str | int, ...], value: object, said: str, tmp_path: Path
) -> None:
    document = json.loads(render(ALONE, "json", View(command="layer")))
    *above, last = path
    place = document["subjects"][0]["latency"]["cpu:onnxruntime"]
    for key in above:
        place = place[key]
    place[last] = value
    (tmp_path / "report.json").write_text(json.dumps(document), encoding="utf-8")
    ran = run("model", "report.json", cwd=tmp_path)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert f".{said}" in ran.stderr


def test_markdown_has_the_sheets_too() -> None:
    said = render(BOTH, "markdown", View(explain=True))
    assert "| `cpu:onnxruntime, standard` |" in said or "| cpu:onnxruntime, standard |" in said
    assert "jit_0" in said


def test_a_csv_has_a_row_for_each_runtime_of_the_whole() -> None:
    rows = list(csv.DictReader(io.StringIO(render(BOTH, "csv", View(totals=True)))))
    assert [row["setting"] for row in rows] == ["cpu", "cpu:onnxruntime"]
    assert [float(row["speedup_median"]) for row in rows] == pytest.approx([4.0, 6.0])
    assert sum(int(row["macs"] or 0) for row in rows) == BOTH.totals.as_is.macs
