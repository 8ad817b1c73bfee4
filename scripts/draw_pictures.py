"""Draw the pictures of the docs: docs/pictures/*.svg from what was measured, docs/pictures/data/.

`python scripts/draw_pictures.py` draws them anew, `--measure` measures first: on an idle machine,
with `pip install -e ".[runtimes,torch]"`. Look at each change; `tests/test_docs_pictures.py` holds
that what is committed is what is drawn.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dscost.pages.pictures import Picture, Point, Series
from dscost.pages.pictures.promises import left_out, promise_of, promise_plot, why_none
from dscost.pages.runs import measured_on, setting_title
from dscost.rendering.drawing import svg_of
from dscost.reports.records import Report
from dscost.reports.report_file import parse_reports

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
DATA = FOLDER / "data"
RUNTIMES = "torch,onnxruntime,openvino,ncnn"


class Measured(NamedTuple):
    """A layer of the first picture: its name there, in full, and what `dscost layer` is told."""

    name: str
    full: str
    arguments: str


LAYERS: Mapping[str, Measured] = {
    "narrow": Measured("16→16", "16→16 at 112×112", "16 16 3 --size 112"),
    "stem": Measured("3→32", "3→32 at 224×224 with stride 2", "3 32 3 --size 224 --stride 2"),
    "early": Measured("64→64", "64→64 at 56×56", "64 64 3 --size 56"),
    "middle": Measured("256→256", "256→256 at 14×14", "256 256 3 --size 14"),
    "five": Measured("32→32, 5×5", "32→32, 5×5 at 28×28", "32 32 5 --size 28"),
    "wide_five": Measured("64→192, 5×5", "64→192, 5×5 at 27×27", "64 192 5 --size 27"),
    "seven": Measured(
        "3→64, 7×7", "3→64, 7×7 at 224×224 with stride 2", "3 64 7 --size 224 --stride 2"
    ),
}


def measure() -> None:
    """Write what the commands of this script measure here; change `_busy_note` by how that was."""
    DATA.mkdir(parents=True, exist_ok=True)
    for name, layer in LAYERS.items():
        told = [*layer.arguments.split(), "--runtime", RUNTIMES, "--time-budget", "24s"]
        command = [sys.executable, "-m", "dscost", "layer", *told, "--json", "-q"]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        text = json.dumps(json.loads(found.stdout), ensure_ascii=False, separators=(",", ":"))
        (DATA / f"layer-{name}.json").write_text(f"{text}\n", encoding="utf-8")


def read(name: str) -> Report:
    """Return a report that was measured."""
    path = DATA / f"{name}.json"
    (report,) = parse_reports(path.read_text(encoding="utf-8"), str(path))
    return report


_LAYERS_NOTE = (
    f"Layers, 3×3 where nothing is said: {'; '.join(one.full for one in LAYERS.values())}."
)


def _busy_note(reports: Sequence[Report]) -> str:
    """Return how what is committed was measured, with the loads that its files tell."""
    places = [report.environment for report in reports if report.environment]
    ends = [(where.load_before, where.load_after) for where in places]
    loads = [load for both in ends for load in both if load is not None]
    return (
        "Timed at real-time priority on one core (chrt -f 1), while others kept the machine busy: "
        f"load {min(loads):.0f} to {max(loads):.0f}."
    )


def promise_against_clock() -> Picture:
    """Return layers under several runtimes: what MACs promise, and what the clock says."""
    found: dict[str, list[Point]] = {}
    missing: list[tuple[str, str]] = []
    for key, layer in LAYERS.items():
        report = read(f"layer-{key}")
        (one,) = report.layers
        speedups = {key: timing.speedup for key, timing in one.latency.items() if timing.speedup}
        best = max(speedups, key=lambda key: speedups[key].median)
        for setting, speedup in speedups.items():
            # one name for the points of a layer, which stand above each other
            name = layer.name if setting == best else ""
            said = f"{layer.full}, {setting_title(setting)}"
            point = promise_of(one.reduction, speedup, name, said)
            missing.append((said, why_none(one.reduction, speedup)))
            found.setdefault(setting_title(setting), []).extend([point] if point else [])
    reports = [read(f"layer-{key}") for key in LAYERS]
    machine = read("layer-middle")
    return promise_plot(
        "Depthwise-separable layers: what fewer MACs promise, and what the clock says",
        [Series(*one) for one in found.items()],
        than="standard",
        notes=[_LAYERS_NOTE, *left_out(missing), _busy_note(reports)],
        measured=measured_on(machine.environment, machine.latency),
    )


PICTURES: Mapping[str, Callable[[], Picture]] = {"promise-against-clock": promise_against_clock}


def draw() -> None:
    """Write every picture."""
    for name, picture in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(svg_of(picture()), encoding="utf-8")


def main() -> None:
    """Draw every picture, and measure before if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure on this machine first")
    if parser.parse_args().measure:
        measure()
    draw()


if __name__ == "__main__":
    main()
