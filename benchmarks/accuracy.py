"""What a plan by a score keeps of a cheaper model, and calibration wins back: a recogniser of text, a small torch model.

The recogniser is `common.onnx` of the package ddddocr 1.6.1 (MIT), of which ten convolutions of 16 channels and more can
be converted. The package is not imported, so `pip install --no-deps ddddocr==1.6.1` is enough. Its charset is read as a
literal, its output by greedy CTC.

Method: 80 pictures of four characters (A to Z and 2 to 9 without I, O, 0 and 1; DejaVu Sans, or Pillow's own font where
that is missing) are what plans are chosen on: a picture counts where all four are right, without regard to case. 80 of
another seed are held out, no choice sees them; 40 of a third, without labels, are calibrated on. Converted are all
layers at one rank, then what `dscost.plan` chooses by kernel errors and by the score, at the MACs of rank 3 and 2
everywhere, and at a score that is to be kept. `dscost.sensitivity`, `dscost.plan` and the conversion with its calibration
are timed one after the other, with one journal, as a user would have them.

The torch model is that of `examples/fine_tune.py`, trained with three seeds, converted by the command line at ranks 1
and 2 and recovered on 256 pictures without labels. On 1,000 pictures it is told what each step gains; 3,000 others are
held out.

Run: `python benchmarks/accuracy.py [--package FOLDER]`, with the folder where ddddocr was installed (`pip --target`);
ten minutes. Prints Markdown, exits 1 where a bar is not met, and 0 where the package is not there.
"""

import argparse
import ast
import json
import os
import platform
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

import dscost
from dscost.foreign.processor import cpu_name
from dscost.timing.machine import load

HERE = Path(__file__).parent
PACKAGE = "ddddocr"
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
CHARACTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
SHAPE = (1, 1, 64, 160)
CHOSEN_ON, HELD_OUT, CALIBRATED_ON = 0, 1, 77
"""Seeds of pictures."""
BUDGET = 100
MIN_CHANNELS = 16
EQUAL_RANK = 3
"""The rank whose MACs plans may have."""
LOW_RANK = 2
"""Another one, at which calibration alone may not suffice."""

SAFE, POINTS, LIMIT_S = 9, 60, 180.0
"""Bars: layers that are safe at rank 1, points above the equal rank, seconds of the whole."""

SEEDS, RANKS = (0, 1, 2), (1, 2)
VALIDATED_ON, TESTED_ON, SEEN = 1000, 3000, 256


# -- the recogniser


class Picture(NamedTuple):
    """A picture `(1, 1, 64, 160)` from 0 to 1, and what it says."""

    values: np.ndarray
    text: str


class Row(NamedTuple):
    """A model: its MACs, and the shares of pictures read right, of those chosen on and of those held out."""

    name: str
    macs: int
    chosen_on: float
    held_out: float


@cache
def package() -> Path | None:
    """Return the folder of the package; nothing where it is not installed."""
    spec = find_spec(PACKAGE)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


@cache
def charset() -> list[str]:
    """Return the characters of the recogniser by number, 0 being none."""
    folder = package()
    assert folder is not None
    tree = ast.parse((folder / "charsets.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHARSET_BETA":
            return list(ast.literal_eval(node.value))
    raise LookupError("charsets.py has no CHARSET_BETA")


@cache
def pictures(count: int, seed: int) -> tuple[Picture, ...]:
    """Return so many pictures of four characters."""
    random, found = np.random.default_rng(seed), []
    font: Any = ImageFont.truetype(FONT, 40) if Path(FONT).exists() else ImageFont.load_default(40)
    for _ in range(count):
        text = "".join(random.choice(list(CHARACTERS), 4))
        image = Image.new("L", (SHAPE[3], SHAPE[2]), 255)
        draw = ImageDraw.Draw(image)
        for at, character in enumerate(text):
            place = 10 + 35 * at, 8 + int(random.integers(-3, 4))
            draw.text(place, character, font=font, fill=int(random.integers(0, 60)))
        values = np.asarray(image, np.float32).reshape(SHAPE) / 255
        found.append(Picture(values, text))
    return tuple(found)


def read(session: onnxruntime.InferenceSession, picture: Picture) -> str:
    """Return what the recogniser says."""
    (output,) = session.run(None, {"input1": picture.values})
    numbers = output[:, 0].argmax(axis=-1).tolist()
    kept = [
        one for one, before in zip(numbers, [0, *numbers], strict=False) if one and one != before
    ]
    return "".join(charset()[one] for one in kept)


def share_read(session: onnxruntime.InferenceSession, seed: int) -> float:
    """Return the share of pictures of which every character is read right."""
    right = [read(session, one).lower() == one.text.lower() for one in pictures(80, seed)]
    return sum(right) / len(right)


def accuracy(session: onnxruntime.InferenceSession) -> float:
    """Return the score by which plans are chosen."""
    return share_read(session, CHOSEN_ON)


def batches() -> Iterator[np.ndarray]:
    """Yield what is calibrated on."""
    for picture in pictures(40, CALIBRATED_ON):
        yield picture.values


class Recogniser:
    """The file, converted in all ways that are compared.

    Args:
        path: The file.
        journal: Where evaluations are kept.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self.path = str(path)
        self.macs = dscost.analyze(self.path, input=SHAPE).totals.as_is.macs
        self._asked: dict[str, Any] = {"min_channels": MIN_CHANNELS, "input": SHAPE}
        self._scored = {"score": accuracy, "score_budget": BUDGET, "journal": journal}

    def as_is(self) -> Row:
        """Return the row of the model as it is."""
        session = session_of(Path(self.path).read_bytes())
        return Row("untouched", self.macs, accuracy(session), share_read(session, HELD_OUT))

    def row(self, name: str, **way: Any) -> Row:
        """Return the row of the model converted in some way."""
        return self.row_of(name, self.converted(**way))

    def converted(self, **way: Any) -> Any:
        """Return a conversion."""
        more = {} if "plan" in way else {"min_channels": MIN_CHANNELS}
        return dscost.conversion(self.path, SHAPE, **more, **way)

    def row_of(self, name: str, conversion: Any) -> Row:
        """Return the row of a conversion."""
        layers = [one for one in conversion.layers if one.converted]
        saved = sum(one.before.macs - one.after.macs for one in layers)
        session = session_of(conversion.module.SerializeToString())
        shares = accuracy(session), share_read(session, HELD_OUT)
        return Row(name, self.macs - saved, *shares)

    def sensitivity(self) -> Any:
        """Return what layers lose alone."""
        return dscost.sensitivity(self.path, **{**self._asked, **self._scored})

    def plan_by_score(self, goal: str, **more: Any) -> Any:
        """Return a plan that the score has chosen."""
        return dscost.plan(self.path, goal, **{**self._asked, **self._scored, **more})

    def plan_by_error(self, goal: str) -> Any:
        """Return a plan of the least kernel error, of either order."""
        return dscost.plan(self.path, goal, order="best", **self._asked)


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    """Return a session of a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the file promises other sizes than it returns
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])


class Clock:
    """What was timed one after the other: seconds on the wall, and of the processor."""

    def __init__(self) -> None:
        self.walls: dict[str, float] = {}
        self.cpus: dict[str, float] = {}

    def timed(self, name: str, do: Callable[[], Any]) -> Any:
        """Return what something gives, and keep how long it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        found = do()
        self.walls[name] = time.perf_counter() - wall
        self.cpus[name] = time.process_time() - cpu
        return found


def recogniser(path: Path, folder: Path) -> bool:
    """Print the tables of the recogniser and return whether all bars are met."""
    own, clock = Recogniser(path, folder / "journal.jsonl"), Clock()
    untouched = own.as_is()
    rows = [untouched]
    uniform = {}
    for order, ranks in (
        ("depthwise-first", (6, 4, 3, 1)),
        ("pointwise-first", (4, 3)),
        ("best", (3,)),
    ):
        for rank in ranks:
            said = "the better order of each layer" if order == "best" else order
            uniform[order, rank] = own.row(f"rank {rank}, {said}", rank=rank, order=order)
    equal = uniform["depthwise-first", EQUAL_RANK]
    rows += uniform.values()

    found = clock.timed("sensitivity", own.sensitivity)
    goal = f"macs={equal.macs}"
    plan = clock.timed("plan", lambda: own.plan_by_score(goal))
    recovered = clock.timed("calibration", lambda: own.converted(plan=plan, calibrate=batches()))
    by_error = own.row("plan by kernel error", plan=own.plan_by_error(goal))
    by_score = own.row("**plan by score**", plan=plan)
    calibrated = own.row_of("**plan by score, calibrated**", recovered)
    rows += [by_error, by_score, calibrated]
    for rank in (EQUAL_RANK, LOW_RANK, 1):
        name = f"rank {rank}, depthwise-first, calibrated"
        rows.append(own.row(name, rank=rank, calibrate=batches()))
    low = own.plan_by_score(f"macs={rows[-2].macs}")
    rows += [
        own.row(f"plan by score, at the MACs of rank {LOW_RANK}", plan=low),
        own.row("the same, calibrated", plan=low, calibrate=batches()),
    ]
    kept = own.plan_by_score("score=0.98x")
    rows += [
        own.row("plan by score, for score=0.98x", plan=kept),
        own.row("the same, calibrated", plan=kept, calibrate=batches()),
    ]
    least = own.plan_by_score("score=0.98x", calibrate=batches())
    rows.append(
        own.row("plan by score, for score=0.98x of the calibrated", plan=least, calibrate=batches())
    )
    print_rows(rows, untouched)
    print_losses(found)
    print_steps(recovered)
    print_times(clock)
    points = (
        100 * (by_score.chosen_on - equal.chosen_on),
        100 * (by_score.held_out - equal.held_out),
    )
    took = sum(clock.walls.values())
    is_whole = by_score.held_out >= untouched.held_out
    gained = 100 * (calibrated.held_out - by_score.held_out)
    adds = (
        "the plan is at the untouched score"
        if is_whole
        else f"{gained:+.1f} points on those held out"
    )
    return print_bars(
        [
            (
                len(found.safe) >= SAFE,
                f"{len(found.safe)} layers are safe at rank 1 alone (at least {SAFE})",
            ),
            (
                min(points) >= POINTS,
                f"the plan by score is {points[0]:.1f} points above rank {EQUAL_RANK} at its MACs, "
                f"held out {points[1]:.1f} (at least {POINTS})",
            ),
            (is_whole or gained > 0, f"calibration adds: {adds}"),
            (
                took <= LIMIT_S,
                f"sensitivity, plan and calibration took {took:.0f} s (at most {LIMIT_S:.0f} s)",
            ),
        ]
    )


def print_rows(rows: Sequence[Row], untouched: Row) -> None:
    """Print models."""
    print("| model | MACs | of untouched | chosen on | held out |\n| :-- | --: | --: | --: | --: |")
    for one in rows:
        share = one.macs / untouched.macs
        scores = f"{one.chosen_on:.3f} | {one.held_out:.3f}"
        print(f"| {one.name} | {one.macs / 1e6:.1f} M | {share:.3f}× | {scores} |")


def print_losses(found: Any) -> None:
    """Print what every layer loses at rank 1, alone."""
    print(
        f"\n`dscost.sensitivity(…, score_budget={BUDGET})`: {found.in_a_line().partition(': ')[2]}.\n"
    )
    print("| layer at rank 1, alone | order | loss [95 %] | verdict | kernel error | MACs |")
    print("| :-- | :-- | --: | :-- | --: | --: |")
    for name, one in found.at_rank_one.items():
        loss = f"{one.loss:.3f} [{one.low:.3f}, {one.high:.3f}]".replace("-", "−")
        macs = f"{one.macs_before / 1e6:.2f} M → {one.macs_after / 1e6:.2f} M"
        print(f"| {name} | {one.order} | {loss} | {one.verdict} | {one.error:.3f} | {macs} |")


def print_steps(conversion: Any) -> None:
    """Print what calibration did to outputs."""
    told = [
        f"{one.name}: error of the outputs {one.error_before:.3f} → {one.error_after:.3f}"
        + " (undone)" * (not one.kept)
        for one in conversion.recovery.steps
    ]
    print(f"\nPlan by score, calibrated: {'; '.join(told)}.\n")


def print_times(clock: Clock) -> None:
    """Print how long it took."""
    print("| one after the other | wall | processor |\n| :-- | --: | --: |")
    for name, wall_s in clock.walls.items():
        print(f"| {name} | {wall_s:.0f} s | {clock.cpus[name]:.0f} s |")
    print(f"| all | {sum(clock.walls.values()):.0f} s | {sum(clock.cpus.values()):.0f} s |\n")


def print_bars(bars: Sequence[tuple[bool, str]]) -> bool:
    """Print which bars are met, and return whether all are."""
    for is_met, text in bars:
        print(f"- {'met' if is_met else '**not met**'}: {text}")
    return all(is_met for is_met, _ in bars)


# -- a torch model


@cache
def example() -> dict[str, Any]:
    """Return the names of the example that trains a small network."""
    return runpy.run_path(str(HERE.parent / "examples" / "fine_tune.py"))


@cache
def shapes(count: int, seed: int) -> Any:
    """Return pictures of shapes."""
    import torch

    return example()["draw"](count, torch.Generator().manual_seed(seed))


def shapes_named(network: Any) -> float:
    """Return the score of the torch model: the share of shapes that it names."""
    return float(example()["accuracy"](network, shapes(VALIDATED_ON, 1000)))


def shapes_seen() -> Any:
    """Return what it is calibrated on."""
    return [shapes(SEEN, 1001).images]


def modules(folder: Path) -> None:
    """Print what each step wins back of the torch model."""
    import torch

    torch.set_num_threads(1)
    names, test = example(), shapes(TESTED_ON, 1002)
    weights, cheaper = folder / "trained.pt", folder / "cheaper.pt"
    print("\n## A torch model with BatchNorm\n\nHeld out: converted → recovered.\n")
    print("| seed | rank | trained | converted | refitted | BatchNorm re-estimated | held out |")
    print("| --: | --: | --: | --: | --: | --: | --: |")
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = names["small_network"]()
        names["train"](network, names["draw"](6000, torch.Generator().manual_seed(seed)), 4)
        torch.save(network.state_dict(), weights)
        for rank in RANKS:
            steps = recovered_by_command(weights, cheaper, rank)
            scores = [steps[0]["score_before"], *(one["score_after"] for one in steps)]
            cells = [f"{score:.3f}" for score in (shapes_named(network), *scores)]
            undone = [" (undone)" * (not one["kept"]) for one in steps]
            cells[2:] = [cell + more for cell, more in zip(cells[2:], undone, strict=True)]
            module = dscost.convert(network, rank=rank, min_channels=MIN_CHANNELS)
            before = names["accuracy"](module, test)
            module.load_state_dict(torch.load(cheaper))
            held_out = f"{before:.3f} → {names['accuracy'](module, test):.3f}"
            print(f"| {seed} | {rank} | {' | '.join(cells)} | {held_out} |")


def recovered_by_command(weights: Path, cheaper: Path, rank: int) -> list[dict[str, Any]]:
    """Return the steps of recovering the torch model by the command line, which writes its weights."""
    own = Path(__file__)
    words = [
        *(Path(sys.executable).parent / "dscost", "convert"),
        *(f"{HERE.parent / 'examples' / 'fine_tune.py'}:small_network", "--input", "1,1,32,32"),
        *("--weights", weights, "--rank", str(rank), "--min-channels", str(MIN_CHANNELS)),
        *("--score", f"{own}:shapes_named"),
        *(
            "--calibrate",
            f"{own}:shapes_seen",
            "--journal",
            cheaper.with_suffix(f".{time.time_ns()}.jsonl"),
        ),
        *("--save", cheaper, "--json"),
    ]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    return list(json.loads(ran.stdout)["conversion"]["recovery"]["steps"])


# -- all of it


def main() -> int:
    """Print everything and return 1 where a bar is not met."""
    parser = argparse.ArgumentParser(description="What a score keeps, and calibration wins back.")
    parser.add_argument("--package", type=Path, help="where ddddocr was installed")
    given = parser.parse_args().package
    if given is not None:
        sys.path.insert(0, str(given.parent if given.name == PACKAGE else given))
    folder = package()
    if folder is None or not (folder / "common.onnx").exists():
        print(
            f"skipped: {PACKAGE} is not installed (pip install --no-deps ddddocr==1.6.1, or --package FOLDER)"
        )
        return 0
    packages = ("numpy", "onnx", "onnxruntime", "pillow", "torch")
    told = ", ".join(f"{one} {version(one)}" for one in packages)
    began = load()
    print(
        f"{date.today()}, {cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, {told}\n"
    )
    print("## A recogniser of text\n")
    with tempfile.TemporaryDirectory() as place:
        are_met = recogniser(folder / "common.onnx", Path(place))
        modules(Path(place))
    print(f"\nLoad before {began or 0:.1f}, after {load() or 0:.1f}.")
    return int(not are_met)


if __name__ == "__main__":
    raise SystemExit(main())
