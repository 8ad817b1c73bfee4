import csv
import io
import json
import re
from math import log10
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dscost.cli import run
from dscost.devices.roofline import Ceilings, Rate
from dscost.devices.sheets import devices
from dscost.pages.device import DeviceSaid
from dscost.pages.roofline_chart import format_speed, landmarks, roofline_chart
from dscost.rendering import View, format_names, render
from dscost.reports.records import Noise
from dscost.timing.ceilings import Found

MEASURED = Ceilings(
    device="cpu",
    name="a processor",
    dtype="float32",
    threads=1,
    flops_per_s=100e9,
    bytes_per_s=20e9,
    curve=((1 << 20, 80e9), (1 << 26, 20e9)),
    rates={
        "dense:contiguous": Rate(1e-5, 9e10, 1e10, None),
        "depthwise:contiguous": Rate(5e-5, None, 2e10),
    },
    usual_error=1.12,
    measured_on="2026-11-20",
    versions={"torch": "2.13.0"},
)


def shown(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["device", *arguments.split()]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return found.out


def failure(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["device", *arguments.split()]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    return found.err


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("dscost.timing.ceilings.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("dscost.timing.machine.Watch.noise", lambda self: ())
    return tmp_path / "cache"


def test_this_machine_is_measured_once_and_kept(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(shown("--threads 1 --json", capsys))
    assert document["schema_version"] == 1
    assert document["tool"]["name"] == "dscost"
    assert document["command"] == "device"
    found = Ceilings.from_dict(document["ceilings"])
    assert (found.device, found.dtype, found.threads) == ("cpu", "float32", 1)
    assert found.flops_per_s > found.bytes_per_s > 0
    sizes = [size for size, _ in found.curve]
    assert sizes == sorted(sizes)
    assert len(found.rates) == 6
    assert json.loads(shown("--threads 1 --json", capsys)) == document
    table = shown("--threads 1", capsys)
    assert str(own_cache / "cpu-float32-1.json") in table
    assert f"Measured on {found.measured_on} with torch" in table


def test_a_named_device_is_shown_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    table = shown("--on raspberry_pi_4", capsys)
    assert table.startswith("Raspberry Pi 4 Model B (4 cores), float32\n")
    assert "48.0 GFLOP/s" in table
    assert "12.8 GB/s" in table
    assert "3.75 FLOP/byte" in table
    assert "By its data sheet, not measured" in table
    assert (
        json.loads(shown("--on t4 --dtype int8 --json", capsys))["ceilings"]["flops_per_s"]
        == 130e12
    )


@pytest.mark.parametrize("name", ["pixel_6", "t4"])
def test_a_device_may_be_named_without_an_option(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(name, capsys) == shown(f"--on {name}", capsys)


def test_this_machine_may_be_named_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def measured(**given: str) -> Found:
        asked.append(given["device"])
        return Found(MEASURED, from_cache=False, path=None)

    monkeypatch.setattr("dscost.timing.ceilings.this_device", measured)
    for arguments in ("", "cpu", "cuda", "--device cuda"):
        shown(arguments, capsys)
    assert asked == ["cpu", "cpu", "cuda", "cuda"]


def test_a_busy_machine_and_threads_without_cores_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Found(MEASURED._replace(threads=5), from_cache=False, path=None, problem="the machine was busy",
                  noise=(Noise("load", 4.0, 2.0), Noise("cpu_pressure", 44.3, 10.0)))  # fmt: skip
    monkeypatch.setattr("dscost.timing.ceilings.this_device", lambda **given: found)
    monkeypatch.setattr("dscost.timing.machine.usable_cores", lambda: 2)
    assert run(["device", "--threads", "5"]) == 0
    page = capsys.readouterr()
    assert page.err.splitlines() == [
        "5 threads share 2 usable cores: they wait for each other, and figures vary.",
        "Noisy: load 4.0 on 2 cores, 44 % of the last 10 s somebody waited for a processor. "
        "Run again when idle.",
        "These figures are not kept for later commands: the machine was busy.",
    ]


def test_naming_a_device_imports_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom dscost.cli import run\nrun(['device', '--on', 't4'])\nrun(['list', 'devices'])\n"
        "print({'torch', 'numpy'} & set(sys.modules) or 'light', file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == "light\n"


def test_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("raspberry_pi_5  ") and "Raspberry Pi 5" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--on rtx_4080", "unknown device 'rtx_4080' (did you mean 'rtx_4090'?)"),
        (
            "--on t4 --dtype float64",
            "NVIDIA T4 has no figure for float64 (it has float32, float16, int8)",
        ),
        ("rtx_4080", "unknown device 'rtx_4080' (did you mean 'rtx_4090'?)"),
        (
            "qqq",
            f"unknown device 'qqq' (known: {', '.join(one.key for one in devices())})",
        ),  # none is left out
        ("t4 --on t4", "name the device once: as the argument 't4', by --device or by --on"),
        (
            "cpu --device cuda",
            "name the device once: as the argument 'cpu', by --device or by --on",
        ),
        (
            "t4 --refresh",
            "--on shows a data sheet: --device, --threads and --refresh have no meaning with it",
        ),
        (
            "--on t4 --device cpu",
            "--on shows a data sheet: --device, --threads and --refresh have no meaning with it",
        ),
        (
            "--on t4 --refresh",
            "--on shows a data sheet: --device, --threads and --refresh have no meaning with it",
        ),
        (
            "--on t4 --threads 1",
            "--on shows a data sheet: --device, --threads and --refresh have no meaning with it",
        ),
        ("--device gpu", "unknown device 'gpu' (did you mean 'cpu'?)"),
        ("--dtype flaot32", "unknown dtype 'flaot32' (did you mean 'float32'?)"),
        ("--threads 0", "threads must be between 1 and 4096, found 0"),
        ("--on t4 --json --format csv", "--json and --format csv contradict each other"),
    ],
)
def test_bad_input_gets_one_line(
    arguments: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure(arguments, capsys) == f"dscost: {told}\n"


def test_mistakes_in_a_file_begin_with_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "board.yaml"
    path.write_text("name: Board\nsource: me\nflops_per_s: {float32: 1e9}\nbytes_per_s: none\n")
    expected = f"{path}:4:14: expected a number above 0 such as 12.8e9, found 'none'\n"
    assert failure(f"--on {path}", capsys) == expected


def test_a_file_is_written_in_the_format_of_its_ending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t4.csv"
    assert run(["device", "--on", "t4", "-o", str(path)]) == 0
    assert capsys.readouterr() == ("", f"wrote {path}\n")
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert {row["figure"]: float(row["value"]) for row in rows} == {
        "peak": 8.1e12,
        "bandwidth": 320e9,
        "ridge": 8.1e12 / 320e9,
    }


def test_csv_has_every_figure_and_leaves_the_unknown_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(render(DeviceSaid(MEASURED, None), "csv", View()))))
    values = {(row["figure"], row["of"]): row["value"] for row in rows}
    assert values["bandwidth", "1048576"] == "80000000000.0"
    assert values["t0_s", "depthwise:contiguous"] == "5e-05"
    assert values["flops_per_s", "depthwise:contiguous"] == ""
    assert values["activation_bytes_per_s", "dense:contiguous"] == "10000000000.0"


def test_a_table_says_what_was_found_how_and_where() -> None:
    table = render(DeviceSaid(MEASURED, "/cache/cpu.json"), "table", View())
    assert table.startswith("a processor, 1 thread, float32\n")
    for text in (
        "100 GFLOP/s",
        "20.0 GB/s",
        "5 FLOP/byte",
        "1.000 MiB",
        "80.0 GB/s",
        "10.0 µs",
        "90.0 GFLOP/s",
    ):
        assert text in table
    assert "Measured on 2026-11-20 with torch 2.13.0, kept in /cache/cpu.json." in table
    assert "usually off by a factor of 1.12" in table


def test_markdown_keeps_the_drawing_together() -> None:
    text = render(DeviceSaid(MEASURED, None), "markdown", View())
    drawing = text.split("```")[1]
    assert drawing.removeprefix("text\n").splitlines() == roofline_chart(MEASURED, 72)
    assert "| 100 GFLOP/s | 20.0 GB/s | 5 FLOP/byte |" in text


def test_a_device_is_shown_in_every_format_but_those_of_findings() -> None:
    for name in format_names(judges=False):
        assert render(DeviceSaid(MEASURED), name, View())


@pytest.mark.parametrize("width", [60, 100, 200])
def test_a_page_fits_its_width(width: int) -> None:
    table = render(DeviceSaid(MEASURED, "/cache/cpu.json"), "table", View(width=width))
    assert max(map(len, table.splitlines())) <= width
    for number in ("100 GFLOP/s", "45.0 GFLOP/s", "20.0 GB/s", "10.0 µs"):
        assert number in table


def test_what_does_not_fit_is_named_with_the_option_that_shows_it() -> None:
    assert "(see them with --wide)" in render(
        DeviceSaid(MEASURED, None), "table", View(width=60)
    ).replace("\n", " ")
    wide = render(
        DeviceSaid(MEASURED._replace(bytes_per_s=25e9), None), "table", View(width=60, wide=True)
    )
    assert "--wide" not in wide
    assert "near the ridge" in wide


# -- the drawing


def plot_of(lines: list[str]) -> list[str]:
    return [line[13:] for line in lines if re.match(r".{12}[┤│]", line)]


def test_landmarks_are_the_depthwise_3x3_and_the_layer_that_everybody_knows() -> None:
    depthwise, dense = landmarks(MEASURED)
    assert depthwise.cost.flops_per_byte == 2.25
    assert dense.cost.macs == 115_605_504
    assert dense.cost.params == 589_824
    assert dense.cost.traffic_bytes == 4 * (2 * 256 * 14 * 14 + 589_824)
    assert landmarks(MEASURED._replace(dtype="float16"))[0].cost.flops_per_byte == 4.5


@given(
    width=st.integers(40, 200),
    flops=st.floats(min_value=8, max_value=15.5),
    ridge=st.floats(min_value=-0.5, max_value=3),
)
def test_a_roofline_fits_whatever_the_device(width: int, flops: float, ridge: float) -> None:
    ceilings = MEASURED._replace(flops_per_s=10**flops, bytes_per_s=10 ** (flops - ridge))
    lines = roofline_chart(ceilings, width)
    plot = plot_of(lines)
    assert all(len(line) <= max(width, 33) for line in plot)
    assert sum(line.count("◆") for line in plot) == 1
    assert len(plot) == 12
    assert format_speed(10**flops, "FLOP/s") in "\n".join(lines)
    axis = "".join(line[12] for line in lines if re.match(r".{12}[┤│]", line))
    peak = axis.index("┤")
    assert axis[peak + 1 :].startswith("│")  # no label touches that of the peak


def test_marks_stand_on_the_roof_at_their_intensity() -> None:
    lines = roofline_chart(MEASURED, 100)
    plot = plot_of(lines)
    place = {
        mark: (at, line.index(mark))
        for at, line in enumerate(plot)
        for mark in "●■◆"
        if mark in line
    }
    assert place["■"][0] == place["◆"][0] < place["●"][0]  # above the ridge it is flat
    axis = next(line for line in lines if line.lstrip().startswith("└"))[13:]
    one, ten, hundred = (at for at, cell in enumerate(axis) if cell == "┬")
    assert ten - one == pytest.approx(hundred - ten, abs=1)
    assert place["◆"][1] == pytest.approx(one + (ten - one) * log10(5), abs=1)
    assert place["●"][1] == pytest.approx(one + (ten - one) * log10(2.25), abs=1)
    assert lines[-3:] == [
        "  ● depthwise 3×3: 2.25 FLOP/byte, 45.0 GFLOP/s",
        "  ■ 256→256, 3×3 at 14×14: 83.8 FLOP/byte, 100 GFLOP/s",
        "  ◆ ridge: 5 FLOP/byte, 100 GFLOP/s",
    ]


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (0.5, "0.500 B/s"),
        (999.4, "999 B/s"),
        (999.6, "1.00 kB/s"),
        (12.8e9, "12.8 GB/s"),
        (1.979e15, "1.98 PB/s"),
        (3e21, "3000 EB/s"),
    ],
)
def test_speeds_have_three_digits_and_a_prefix(per_s: float, text: str) -> None:
    assert format_speed(per_s, "B/s") == text
