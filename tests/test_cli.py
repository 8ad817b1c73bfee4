"""The command line: what it prints where, and how it exits."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from program import PROGRAM, run

LAYER = ["layer", "--cin", "8", "--cout", "16", "-k", "3", "--no-time"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        LAYER,
        [*LAYER, "--json"],
        ["model", "resnet18", "--no-time"],
        ["model", "efficientnet_b7", "--no-time", "--format", "csv"],
        ["list", "models"],
        ["sweep", "--cin", "8:64:8", "--cout", "2 * cin", "-k", "1,3"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_counting_never_imports_torch_or_numpy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['dscost', *{arguments!r}]\n"
        "from dscost.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n"
        "    heavy = {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "    print(stop.code, heavy or 'light', file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "0 light"


def test_an_architecture_is_read_without_exact_fractions() -> None:
    code = (
        "import sys, dscost.networks.architectures\n"
        "print({'fractions', 'decimal'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = (
        "import dscost, sys; print({'torch', 'numpy', 'rich', 'typer', 'yaml'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "set()\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("layer --cin 30 --cout 32 -k 3 --groups 4", "groups=4 does not divide in_channels=30"),
        (
            "layer --cin 30 --cout 33 -k 3 --groups 4",
            "groups=4 does not divide in_channels=30; groups=4 does not div",
        ),
        (
            "layer --cin 3 --cout 4 -k 9 --size 5 --padding 0",
            "kernel 9×9 is larger than the padded input 5×5",
        ),
        ("layer --cin 0 --cout 4 -k 3", "in_channels must be at least 1, found 0"),
        ("layer --cin=-3 --cout 4 -k 3", "in_channels must be at least 1, found -3"),
        (
            "layer --cin 3 --cout 99999999 -k 3",
            "out_channels must be at most 1,000,000, found 99999999",
        ),
        (
            "layer --cin 3 --cout 4 -k 3x3x3x3",
            "--kernel: expected something like 3, 5x3 or 3x3x3, found '3x3x3x3'",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --padding sme",
            "--padding: expected something like 1, 2x1 or same, found 'sme'",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --stride 2 --padding same",
            "padding 'same' needs stride 1, found stride 2×2",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --depth-multiplier 0",
            "depth_multiplier must be at least 1, found 0",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --dtype flaot16",
            "unknown dtype 'flaot16' (did you mean 'float16'?)",
        ),
        ("layer --cin 3 --cout 4 -k 3 --device cup", "unknown device 'cup' (did you mean 'cpu'?)"),
        ("layer --cin 3 --cout 4 -k 3 --threads 0", "threads must be between 1 and 4096, found 0"),
        (
            "layer --cin 3 --cout 4 -k 3 --time-budget soon",
            "--time-budget: expected a duration under a day, like 10s or 500ms, found 'soon'",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --memory-format nhwc",
            "unknown memory format 'nhwc' (known: contiguous, channels_last)",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --format jsno",
            "unknown format 'jsno' (did you mean 'json'?)",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --json --format csv",
            "--json and --format csv contradict each other",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --columns mcas",
            "unknown column 'mcas' (did you mean 'macs'?)",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --export csv",
            "--export: expected FORMAT=PATH such as json=costs.json, found 'csv'",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 --color blue",
            "unknown colour 'blue' (known: auto, always, never)",
        ),
        (
            "layer --cin 3 --cout 4 -k 3 -o no/such/x.json",
            "cannot write no/such/x.json: there is no folder no/such",
        ),
        (
            "layer --cin x --cout 4 -k 3",
            "Invalid value for '--cin' / '--in-channels': 'x' is not a valid int.",
        ),
        ("layer --cin 3 --cout 4 -k 3 --strid 2", "No such option: --strid"),
        ("model resnet81", "unknown model 'resnet81' (did you mean 'resnet18'?)"),
        ("model nothing.yaml", "cannot read nothing.yaml: No such file or directory"),
        (
            "model resnet18 --set widht=2",
            "unknown setting 'widht' (known: resolution, classes, unit, repeats)",
        ),
        ("model mobilenet_v1 --set widht=2", "unknown setting 'widht' (did you mean 'width'?)"),
        (
            "model mobilenet_v1 --set width",
            "--set: expected NAME=VALUE such as width=0.5, found 'width'",
        ),
        (
            "model mobilenet_v1 --set width=off",
            "setting 'width' must be a number like 1.0, found 'off'",
        ),
        (
            "model resnet18 --input 1,3,224",
            "input must be batch, channels, height and width, found 1×3×224",
        ),
        ("model resnet18 --batch 0", "batch must be at least 1, found 0"),
        ("model resnet18 --no-time --sort mcs", "unknown sort key 'mcs' (did you mean 'macs'?)"),
        ("modle resnet18", "No such command 'modle'. Did you mean 'model'?"),
        ("list colours", "unknown list 'colours' (did you mean 'columns'?)"),
    ],
)
def test_bad_input_gets_one_clear_line_and_exit_2(
    arguments: str, message: str, tmp_path: Path
) -> None:
    ran = run(*arguments.split(), cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith(f"dscost: {message}")
    assert list(tmp_path.iterdir()) == []


def test_mistakes_in_a_file_begin_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "input: [3, 8, 8]\nlayers:\n  - {conv: 3}\n  - {conv: 3, out_channels: 4, out_channels: 5}\n"
    )
    ran = run("model", "net.yaml", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == (
        "net.yaml:3:5: missing key 'out_channels'\nnet.yaml:4:32: duplicate key 'out_channels' (first on line 4)\n"
    )


def test_help_and_version_exit_0_on_stdout() -> None:
    for arguments in ([], ["-h"], ["--help"], ["layer", "-h"]):
        ran = run(*arguments)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.startswith("Usage: dscost")
    assert run("-V").stdout.startswith("dscost 0.")


def test_help_has_no_escape_codes_in_a_pipe_even_in_a_workflow() -> None:
    assert "\x1b" not in run("--help", env={"GITHUB_ACTIONS": "true", "FORCE_COLOR": "1"}).stdout


def test_stdout_is_the_result_and_nothing_else() -> None:
    ran = run(*LAYER, "--json")
    assert ran.stderr == ""
    assert (
        json.loads(ran.stdout)["subjects"][0]["layers"][0]["variants"]["standard"]["params"]
        == 16 * 8 * 9
    )


def test_a_pipe_gets_natural_width_and_no_colour() -> None:
    text = run("model", "mobilenet_v3_large", "--no-time", env={"COLUMNS": "40"}).stdout
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) > 100
    assert "…" not in text.split("(")[0]


@pytest.mark.parametrize(
    ("options", "env", "coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ([], {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_follows_option_then_environment(
    options: list[str], env: dict[str, str], coloured: bool
) -> None:
    text = run(*LAYER, *options, env=env).stdout
    assert ("\x1b[" in text) is coloured
    assert "115," not in text
    assert "1,152" in text  # 16 * 8 * 9 weights, uncut under any of them


def test_output_and_exports_are_written_together(tmp_path: Path) -> None:
    ran = run(
        *LAYER, "-o", "a.csv", "--export", "json=b.json", "--export", "markdown=c.md", cwd=tmp_path
    )
    assert (ran.returncode, ran.stdout) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.json", "c.md"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert [row["variant"] for row in rows] == ["as_is", "standard", "depthwise_separable"]
    assert [row["stage"] for row in rows] == ["", "", ""]
    assert json.loads((tmp_path / "b.json").read_text())["command"] == "layer"
    assert (tmp_path / "c.md").read_text().startswith("### Conv2d 8 → 16")


def test_quiet_says_nothing_on_stderr(tmp_path: Path) -> None:
    assert run(*LAYER, "-o", "a.json", cwd=tmp_path).stderr == "wrote a.json\n"
    assert run(*LAYER, "-q", "-o", "a.json", cwd=tmp_path).stderr == ""


def test_quiet_tells_what_was_asked_for_and_is_missing(
    tmp_path: Path, network_file: Callable[..., str]
) -> None:
    path = network_file("input: [3, 16, 16]\nlayers:\n  - {conv: 3, out_channels: 8}\n")
    quiet = ("model", path, "-q", "--time-budget", "100us")
    ran = run(*quiet, "-o", str(tmp_path / "a.json"))
    assert (ran.returncode, ran.stdout) == (0, "")
    whole, layers = ran.stderr.splitlines()
    assert whole.startswith("dscost: The whole model was not timed: that takes at least ")
    assert layers == (
        "dscost: 1 of 1 distinct layers were not timed within 100 µs (--time-budget)."
    )
    subject = json.loads((tmp_path / "a.json").read_text())["subjects"][0]
    assert [one["what"] for one in subject["untimed"]] == ["the whole model", "layers"]
    # what is read by nobody may be written to a file or a pipe
    assert run(*quiet).stderr.startswith("dscost: The whole model was not timed: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_one_line_and_exit_2() -> None:
    ran = run(*LAYER, "-o", "/dev/full")
    assert (ran.returncode, ran.stderr) == (
        2,
        "dscost: cannot write /dev/full: No space left on device\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_stdout_is_one_line_and_exit_2() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [PROGRAM, *LAYER], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 2
    assert ran.stderr == "dscost: cannot write the result: No space left on device\n"


def test_a_closed_pipe_is_not_an_error() -> None:
    ran = subprocess.run(
        [
            "bash",
            "-c",
            f"set -o pipefail; '{PROGRAM}' model efficientnet_b7 --no-time --json | head -n 1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "{\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        [
            "layer",
            "--cin",
            "4",
            "--cout",
            "4",
            "-k",
            "3",
            "--size",
            "4",
            "--time-budget",
            "1s",
            "--json",
        ],
        ["verify", "net.yaml"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_missing_numpy_is_no_news(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n")
    code = (
        f"import sys; sys.modules['numpy'] = None; from dscost.cli import main; main({arguments!r})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stderr == ""


def test_interrupting_exits_130() -> None:
    process = subprocess.Popen(
        [PROGRAM, "model", "vgg16", "-q", "--time-budget", "60s"], stderr=subprocess.PIPE, text=True
    )
    time.sleep(3.0)
    stderr = None
    for _ in range(
        6
    ):  # Python ignores an interrupt that meets it inside a finalizer; a user presses once more
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            _, stderr = process.communicate(timeout=10)
            break
    assert (process.returncode, stderr) == (130, "interrupted\n")


def test_a_bug_exits_2_with_one_line_and_the_traceback_on_request() -> None:
    code = (
        "import sys, dscost.analysis.counting as c\n"
        "def broken(**_): raise ZeroDivisionError('boom')\n"
        "import dscost.cli.layer as layer; layer.count_layer = broken\n"
        f"sys.argv = ['dscost', *{LAYER!r}]\n"
        "from dscost.cli import main\nmain()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert (
        ran.stderr
        == "dscost: internal error: ZeroDivisionError: boom (DSCOST_DEBUG=1 shows where)\n"
    )
    env = {**os.environ, "DSCOST_DEBUG": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    assert ran.returncode == 2
    assert "Traceback" in ran.stderr


def test_list_names_every_model() -> None:
    names = [line.split()[0] for line in run("list", "models").stdout.splitlines() if line]
    assert {
        "resnet18",
        "vgg16",
        "xception",
        "mobilenet_v3_small",
        *(f"efficientnet_b{n}" for n in range(8)),
    } <= set(names)


@pytest.mark.usefixtures("own_time")
def test_timing_a_layer_fills_every_measured_figure() -> None:
    ran = run(
        "layer",
        "--cin",
        "16",
        "--cout",
        "16",
        "-k",
        "3",
        "--time-budget",
        "300ms",
        "--threads",
        "1",
        "--json",
    )
    report = json.loads(ran.stdout)
    (layer,) = report["subjects"][0]["layers"]
    timing = layer["latency"]["cpu"]
    for name in ("as_is", "standard", "depthwise_separable"):
        low, high = timing[name]["ci95_s"]
        assert 0 < low <= timing[name]["median_s"] <= high
        assert timing[name]["samples"] >= 4
    assert set(timing["stages"]) == {"depthwise", "pointwise"}
    low, high = timing["speedup"]["ci95"]
    assert low <= timing["speedup"]["median"] <= high
    assert layer["verdict"] in ("faster", "slower", "same", "unclear")
    environment = report["environment"]
    assert (environment["threads"], environment["dtype"]) == (1, "float32")
    assert set(layer["latency"]) == {"cpu", "cpu:channels_last"}
    assert environment["memory_format"] == "contiguous, channels_last"
    for name in ("standard", "depthwise_separable"):
        assert timing[name]["roofline_s"] > 0
        assert timing[name]["bound"] in ("compute", "memory")


@pytest.mark.usefixtures("own_time")
@pytest.mark.usefixtures("own_time")
def test_timing_a_model_measures_the_whole_and_each_distinct_layer(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "input: [3, 16, 16]\n"
        "layers:\n"
        "  - {conv: 3, out_channels: 16, name: stem}\n"
        "  - {depthwise: 3, norm: batch, act: relu, name: dw}\n"
        "  - {conv: 1, out_channels: 16, name: pw}\n"
        "  - {conv: 3, out_channels: 16, name: twin1}\n"
        "  - {conv: 3, out_channels: 16, name: twin2}\n"
    )
    ran = run(
        *("model", "net.yaml", "--time-budget", "2s"),
        *("--threads", "1", "--memory-format", "channels_last", "--json"),
        cwd=tmp_path,
    )
    (subject,) = json.loads(ran.stdout)["subjects"]
    layers = {layer["name"]: layer for layer in subject["layers"]}
    timed = {name for name, layer in layers.items() if layer["latency"]}
    assert timed == {"stem", "dw", "twin1", "twin2"}
    key = "cpu:channels_last"
    assert layers["twin1"]["latency"] == layers["twin2"]["latency"]
    assert (
        layers["dw"]["latency"][key]["as_is"] is None
    )  # it is timed with its pointwise layer only
    assert layers["stem"]["latency"][key]["as_is"] == layers["stem"]["latency"][key]["standard"]
    whole = subject["latency"][key]
    assert all(whole[name]["median_s"] > 0 for name in ("as_is", "standard", "depthwise_separable"))


@pytest.mark.parametrize("dtype", ["int8"])
def test_what_torch_cannot_run_is_counted_and_said(dtype: str) -> None:
    ran = run("layer", "--cin", "16", "--cout", "16", "-k", "3", "--dtype", dtype, "--json")
    (subject,) = json.loads(ran.stdout)["subjects"]
    assert subject["totals"]["as_is"]["weight_bytes"] == 16 * 16 * 9
    assert subject["latency"] == {}
    assert subject["warnings"] == [
        "Not timed: torch runs no convolution in int8 on cpu; --runtime onnxruntime does."
    ]


def test_the_csv_of_a_model_adds_up(tmp_path: Path) -> None:
    rows = list(
        csv.DictReader(io.StringIO(run("model", "resnet18", "--no-time", "--format", "csv").stdout))
    )
    as_is = [row for row in rows if row["variant"] == "as_is"]
    assert sum(int(row["params"]) for row in as_is) == 11_689_512
    assert sum(int(row["macs"]) for row in as_is) == 1_814_073_344
