"""Whether `dscost which` explains the figures of timm's published tables where those disagree with each other.

timm has tables of what models take (`results/benchmark-infer-*.csv` of huggingface/pytorch-image-models, Apache-2.0), made over
four years with several releases of torch, timm, fvcore and DeepSpeed; `infer_gmacs` of one model and size is not the same
in all of them for some 340 models. `benchmarks/data/timm_gmacs.csv` has those rows. For each of their values the
question is put as a user would: `dscost which timm:MODEL GMACS --input 1,3,SIZE,SIZE`, in one process per model.

What counts as an explanation: MACs or a convention's figure, once, not doubled, of the model as timm has it now or as it is
deployed (`reparameterised`), at that size. Not: other sizes, parameters, without a classifier, made separable.
Strictly it is one that may be true of timm as well, which has fvcore count, or DeepSpeed, which counts MACs, and rounds:
fvcore or MACs, rounded; not what another tool counts, and no digits cut off.
Control: as many figures that nobody stated, each within 7 % of one that somebody did, in as many decimals.

Run: `python benchmarks/which_timm.py [JSONL] [FIRST:LAST]`, where JSONL keeps what was found; without models of timm a table is
made of what it has. It takes about 20 minutes.
"""

import csv
import json
import random
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dscost.analysis.targets import Request
from dscost.attributing.records import Candidate
from dscost.attributing.searching import all_conventions, attribute
from dscost.attributing.seen import Prospect, Seen
from dscost.attributing.subjects import Subject, subject_of
from dscost.attributing.written import parse_figure
from dscost.errors import DscostError, InputError

DATA = Path(__file__).parent / "data" / "timm_gmacs.csv"
OFF = 0.07
SEED = 1


class AtThisSize:
    """A model on images of the size that a table states, as it is or as it is deployed."""

    most_resolutions, macs_off, keeps_layers, limits = 0, 0.0, True, ""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def as_is(self) -> Seen:
        """Return it as it stands."""
        return self._subject.as_is()

    def on_images(self, resolution: int) -> Prospect:
        """Return nothing: a table states the size of the images."""
        raise InputError(f"not on images of {resolution}")

    def versions(self) -> Iterator[Prospect]:
        """Yield nothing: who publishes a model's figure does not mean another model."""
        return iter(())

    def reparameterised(self) -> Seen | None:
        """Return it as it is deployed."""
        return self._subject.reparameterised()


def models() -> Mapping[tuple[str, int], Mapping[str, str]]:
    """Return the figures of each model and size, and the tables that have each."""
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    with DATA.open() as file:
        for row in csv.DictReader(file):
            found[row["model"], int(row["size"])][row["gmacs"]] = row["tables"]
    return found


def is_plain(one: Candidate) -> bool:
    """Whether a candidate is an explanation that counts."""
    is_known = one.key == "macs" or bool(one.title)
    return is_known and one.factor == 1 and set(one.changes) <= {"reparameterised"}


def is_strict(one: Candidate) -> bool:
    """Whether it may be true of timm: by fvcore, or MACs as DeepSpeed counts, rounded."""
    return one.key.partition("-")[0] in ("macs", "fvcore") and one.how == "rounded"


def asked(subject: Subject, figure: str, conventions: Any) -> list[str | None]:
    """Return how a figure is explained, and how it is strictly; nothing where it is not."""
    stated = parse_figure(f"{figure}G")
    found = attribute(AtThisSize(subject), stated, conventions, exhaustive=True)
    plain = [one for one in found.candidates if is_plain(one)]
    strict = [one for one in plain if is_strict(one)]
    return [_in_words(one[0]) if one else None for one in (plain, strict)]


def _in_words(one: Candidate) -> str:
    parts = (one.key, one.variation, *one.changes, one.how if one.how != "rounded" else None)
    return ", ".join(filter(None, parts))


def beside(figures: list[str], luck: random.Random) -> Iterator[str]:
    """Yield for each figure one that nobody stated, within 7 % of it."""
    for figure in figures:
        decimals = len(figure.partition(".")[2])
        for _ in range(100):
            other = f"{float(figure) * (1 + luck.uniform(-OFF, OFF)):.{decimals}f}"
            if other not in figures and float(other):
                yield other
                break


def measured(path: Path, wanted: slice) -> None:
    """Ask for each model that a file has not yet, and add what comes of it."""
    known = {(row["model"], row["size"]) for row in _rows(path)}
    conventions = all_conventions()
    for (model, size), figures in list(models().items())[wanted]:
        if (model, size) in known:
            continue
        luck = random.Random(f"{SEED} {model} {size}")
        row: dict[str, Any] = {"model": model, "size": size}
        try:
            request = Request((1, 3, size, size))
            subject, _ = subject_of(f"timm:{model}", request, conventions)
            row["macs"] = subject.as_is().macs
            row["found"] = {one: asked(subject, one, conventions) for one in figures}
            others = list(beside(list(figures), luck))
            row["control"] = {one: asked(subject, one, conventions) for one in others}
        except DscostError as error:
            row["error"] = str(error)[:200]
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(path: Path) -> None:
    """Print the shares as Markdown, and what is not explained."""
    rows = sorted(_rows(path), key=lambda row: (row["model"], row["size"]))
    tables = models()
    known = ", ".join(one.key for one in all_conventions())
    print(
        f"{date.today()}; conventions {known}; timm {version('timm')}, torch {version('torch')}\n"
    )
    print(
        "| asked | of | explained | share | strictly | share |\n| :-- | --: | --: | --: | --: | --: |"
    )
    whole = [
        [all(how[at] for how in row.get("found", {"": [None, None]}).values()) for at in (0, 1)]
        for row in rows
    ]
    _share("models, with every value", whole)
    _share("values", [how for row in rows for how in row.get("found", {}).values()])
    _share(
        "control: values that nobody stated",
        [how for row in rows for how in row.get("control", {}).values()],
    )
    print("\n## How\n\n| explanation | values | control |\n| :-- | --: | --: |")
    by_kind, by_chance = (
        Counter(how[1] or how[0] for row in rows for how in row.get(which, {}).values() if how[0])
        for which in ("found", "control")
    )
    for kind, number in by_kind.most_common():
        print(f"| {kind} | {number} | {by_chance[kind]} |")
    print("\n## Not explained strictly\n")
    print(
        "| model | size | our MACs | value | otherwise | tables that have it |\n| :-- | --: | --: | --: | :-- | :-- |"
    )
    for row in rows:
        for one, how in row.get("found", {}).items():
            if how[1] is None:
                macs, where = (
                    row["macs"] / 1e9,
                    tables[row["model"], row["size"]][one].replace(";", ", "),
                )
                print(
                    f"| {row['model']} | {row['size']} | {macs:.4f} | {one} | {how[0] or ''} | {where} |"
                )
    for row in rows:
        if "error" in row:
            print(f"\n{row['model']} at {row['size']} was not asked: {row['error']}")


def _share(what: str, found: list[Any]) -> None:
    explained, strictly = (sum(bool(how[at]) for how in found) for at in (0, 1))
    of = len(found)
    print(
        f"| {what} | {of} | {explained} | {explained / of:.1%} | {strictly} | {strictly / of:.1%} |"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    kept = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("which_timm.jsonl")
    first, _, last = (sys.argv[2] if len(sys.argv) > 2 else ":").partition(":")
    measured(kept, slice(int(first or 0), int(last) if last else None))
    told(kept)
