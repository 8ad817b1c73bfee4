"""What was known before: a small sorted JSON file, one figure a line, so that branches merge.

```json { "models": { "resnet18": { "fingerprint": {"...": "..."}, "layers": { "conv1/kind":
"convolution Conv2d[in_channels=3,out_channels=64,kernel=7,stride=2,dilation=1,groups=1,bias=0]",
"conv1/macs": 118013952, "conv1/params": 9408 }, "totals": {"macs": 1814073344, "params": 11689512}
} }, "version": 2
}
```

Version 1 had no kinds. It is read all the same; what only kinds tell is then not comparable.
"""

import json
import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from os import environ
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dscost.budgets.excluding import rest_of
from dscost.budgets.metrics import KEPT, KEPT_OF_LAYERS, model_figure
from dscost.budgets.records import Entry
from dscost.budgets.selectors import Kind, Selector, parse_kind
from dscost.errors import FileProblems, InputError, NoFileError
from dscost.files import decoded, read_text
from dscost.notation.literals import Reference
from dscost.notation.strict_json import parse_json
from dscost.reports.records import Layer, Report

VERSION = 2
READ = (1, VERSION)
"""Versions that are understood."""

CONVENTIONS_VERSION = 1
"""Counts up whenever the same model is counted otherwise."""

KIND = "kind"
"""What stands in the place of a metric where a layer's kind is kept."""
USUAL_DTYPE = "float32"
"""Of the weights of models that nothing else is said of."""
MAX_BYTES = 50_000_000


class Known(NamedTuple):
    """One entry of a baseline.

    Args:
        fingerprint: What the figures are of, in words.
        figures: Of the whole model, by metric.
        layers: By layer and metric; what is zero is left out.
        kinds: Of those layers, for selectors.
    """

    fingerprint: Mapping[str, str]
    figures: Mapping[str, Fraction]
    layers: Mapping[tuple[str, str], Fraction]
    kinds: Mapping[str, Kind] = MappingProxyType({})

    def figure(self, metric: str) -> Fraction | None:
        """Return a figure of the whole model; `None` where it was unknown."""
        macs, traffic = self.figures.get("macs"), self.figures.get("traffic_bytes")
        if metric == "flops":
            return None if macs is None else 2 * macs
        if metric == "flops_per_byte":
            return 2 * macs / traffic if macs is not None and traffic else None
        return self.figures.get(metric)

    def layer_figure(self, layer: str, metric: str, selector: Selector | None = None) -> Fraction:
        """Return a figure of a layer, or of what a selector means of it; nothing of one that was not there."""
        if metric == "flops":
            return 2 * self.layer_figure(layer, "macs", selector)
        kind = self.kinds.get(layer)
        meant = (
            selector.parts_meant(kind)
            if selector is not None and kind is not None and kind.parts
            else None
        )
        if meant is None or kind is None:
            return self.layers.get((layer, metric), Fraction(0))
        return Fraction(sum(getattr(kind.parts[at], metric) for at in meant))

    @property
    def names(self) -> frozenset[str]:
        """The layers that have a figure."""
        return frozenset(layer for layer, _ in self.layers)

    def members(self, selector: Selector) -> list[str] | None:
        """Return the layers that a selector means, sorted; `None` where that needs their kinds, and they have none."""
        names = sorted(self.names)
        if selector.needs_kinds and not self.names <= self.kinds.keys():
            return None
        return [name for name in names if selector.matches_kind(name, self.kinds.get(name))]

    def differs_from(self, other: Mapping[str, str]) -> list[str]:
        """Return in what the two are figures of something else."""
        return [
            f"{key} was {self.fingerprint.get(key, 'none')}, is {other.get(key, 'none')}"
            for key in sorted({*self.fingerprint, *other})
            if self.fingerprint.get(key) != other.get(key)
        ]


class Baseline(NamedTuple):
    """What was known before.

    Args:
        models: By entry of the budget.
        origin: Where it was read, or would have been.
        is_there: Whether there is such a file.
    """

    models: Mapping[str, Known]
    origin: str
    is_there: bool = True


def fingerprint_of(entry: Entry, report: Report) -> dict[str, str]:
    """Return what the figures of a report are of."""
    inputs = ", ".join(f"{'x'.join(map(str, one.shape))} {one.dtype}" for one in report.inputs)
    given = sorted({**entry.settings, **entry.kwargs}.items())
    settings = ", ".join(f"{name}={_with_parts(value)}" for name, value in given)
    found = {"counting": str(CONVENTIONS_VERSION), "input": inputs, "target": entry.target}
    if entry.dtype not in (None, USUAL_DTYPE, *(one.dtype for one in report.inputs)):
        found["dtype"] = str(entry.dtype)  # of weights, where no input tells, such as words
    if settings:
        found["settings"] = settings
    if entry.exclude:
        found["without"] = ", ".join(sorted(one.selector.text for one in entry.exclude))
    return found


def _with_parts(value: Any) -> str:
    """Return a setting in words; of an object that is named, with the arguments that it is called with."""
    if isinstance(value, Reference) and value.parts:
        return f"{value}({', '.join(f'{name}={_with_parts(part)}' for name, part in sorted(value.parts.items()))})"
    return str(value)


def known_of(entry: Entry, report: Report, totals: Any) -> Known:
    """Return what is to be kept of an entry.

    Args:
        entry: Of the budget.
        report: What was counted.
        totals: Its cost, without what the budget excludes.
    """
    figures = {
        metric: value
        for metric in KEPT
        if (value := model_figure(report, totals, metric)) is not None
    }
    layers = {}
    kinds = {}
    for layer in rest_of(entry, report).layers:
        own = {metric: value for metric, value in layer_figures(layer).items() if value}
        if own:
            layers.update({(layer.name, metric): value for metric, value in own.items()})
            kinds[layer.name] = Kind.of(layer)
    return Known(fingerprint_of(entry, report), figures, layers, kinds)


def layer_figures(layer: Layer) -> dict[str, Fraction]:
    """Return the figures of a layer that a baseline keeps."""
    return {metric: Fraction(getattr(layer.cost, metric)) for metric in KEPT_OF_LAYERS}


def renamed_layers(before: Known, now: Known) -> dict[str, str]:
    """Return what layers were called before that have another name now, and are the same in kind and figures.

    Of several that are alike, any may be any other.
    """
    if not before.names <= before.kinds.keys():
        return {}
    gone: dict[object, list[str]] = {}
    for name in sorted(before.names - now.names, reverse=True):
        gone.setdefault(_likeness(before, name), []).append(name)
    found = {}
    for name in sorted(now.names - before.names) if gone else ():
        alike = gone.get(_likeness(now, name))
        if alike:
            found[name] = alike.pop()
    return found


def _likeness(known: Known, layer: str) -> object:
    return known.kinds[layer], *(known.layer_figure(layer, metric) for metric in KEPT_OF_LAYERS)


def baseline_text(models: Mapping[str, Known]) -> str:
    """Return a baseline as the text of its file: sorted, one figure a line, nothing that changes by itself."""
    document = {
        "version": VERSION,
        "models": {
            name: {
                "fingerprint": known.fingerprint,
                "totals": {metric: int(value) for metric, value in known.figures.items()},
                "layers": {
                    **{
                        f"{layer}/{metric}": int(value)
                        for (layer, metric), value in known.layers.items()
                    },
                    **{f"{layer}/{KIND}": str(kind) for layer, kind in known.kinds.items()},
                },
            }
            for name, known in models.items()
        },
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_baseline(path: Path) -> Baseline | None:
    """Return the baseline of a file, or `None` where there is none.

    Raises:
        InputError: It cannot be read or is none.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except NoFileError:
        return None
    return parse_baseline(text, str(path))


def parse_baseline(text: str, origin: str) -> Baseline:
    """Return the baseline that a text is.

    Raises:
        InputError: It is none; the text says where.
    """
    document = parse_json(text, origin)
    if not isinstance(document, dict) or not isinstance(document.get("models"), dict):
        raise InputError(f"{origin}: not a baseline of dscost: expected 'version' and 'models'")
    version = document.get("version")
    if type(version) is not int or version not in READ:
        raise InputError(
            f"{origin}: expected version {' or '.join(map(str, READ))}, found {version!r}"
        )
    return Baseline(
        {name: _known(f"{origin}: {name}", one) for name, one in document["models"].items()}, origin
    )


def _known(where: str, value: Any) -> Known:
    try:
        layers, kinds = {}, {}
        for key, found in value["layers"].items():
            layer, _, metric = key.rpartition("/")
            if metric == KIND:
                kinds[layer] = parse_kind(found)
            else:
                layers[layer, metric] = _figure(key, metric, KEPT_OF_LAYERS, found)
        figures = {
            metric: _figure(metric, metric, KEPT, figure)
            for metric, figure in value["totals"].items()
        }
        fingerprint = {str(key): str(text) for key, text in value["fingerprint"].items()}
    except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(
            f"{where}: not an entry of a baseline: {type(error).__name__}: {error}"
        ) from error
    return Known(fingerprint, figures, layers, kinds)


def _figure(key: str, metric: str, kept: Sequence[str], value: Any) -> Fraction:
    if metric not in kept:
        raise ValueError(f"'{key}' is none of its figures")
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a whole number for '{key}', found {value!r}")
    return Fraction(value)


# -- from git


def baseline_from_git(path: Path, ref: str) -> Baseline | None:
    """Return the baseline as a commit has it, or `None` where git says that it has none.

    A branch may have gone on since this one left it: what is compared with is where they parted,
    their merge base.

    Args:
        path: Of the file in the working tree.
        ref: A branch, tag or commit, where `HEAD` parted from it; or `A...B`, where these two
            parted.

    Raises:
        InputError: This is no repository, or git cannot read the commit or the file.
    """
    path = path.resolve()
    folder = path.parent
    _git(
        folder, ref, "rev-parse", "--is-inside-work-tree"
    )  # else no repository, or one of somebody else
    commit = _parting(folder, ref)
    listed = _git(folder, ref, "ls-tree", "-z", "--name-only", commit, "--", f"./{path.name}")
    if not listed.strip(b"\0\n"):
        return None
    where = f"{ref}:{path.name}"
    text = _git(folder, ref, "show", f"{commit}:./{path.name}")
    if len(text) > MAX_BYTES:
        raise InputError(f"{where}: larger than {MAX_BYTES:,} bytes, refused")
    try:
        return parse_baseline(decoded(text, where), where)
    except (
        FileProblems
    ) as error:  # of a file that is not in the working tree, so that no editor finds the place
        raise InputError(str(error)) from error


def _parting(folder: Path, ref: str) -> str:
    """Return the commit where this branch left another, or where two named ones parted."""
    ours, dots, theirs = ref.rpartition("...")
    names = (ours or "HEAD", theirs or "HEAD") if dots else ("HEAD", ref)
    first, second = (_commit(folder, ref, name) for name in names)
    ran = _run_git(folder, "merge-base", first, second)
    base = ran.stdout.decode("ascii", errors="replace").strip()
    if ran.returncode == 0 and base:
        return base
    if ran.returncode != NO_MERGE_BASE:
        raise InputError(f"--against {ref}: {_said(ran)}")
    if dots or _is_shallow(folder):
        raise InputError(
            f"--against {ref}: no commit is known where the two parted{_shallow_hint(folder)}"
        )
    return second  # they have nothing in common, such as a branch that keeps results only


NO_MERGE_BASE = 1
"""How `git merge-base` exits where it looked and found none."""


def _commit(folder: Path, ref: str, name: str) -> str:
    """Return the hash of a commit."""
    ran = (
        None
        if name.startswith("-")
        else _run_git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    )
    if ran is None or ran.returncode:
        which = f" as {name}" if "..." in ref else ""
        raise InputError(
            f"--against {ref}: there is no such commit here{which}{_shallow_hint(folder)}"
        )
    return ran.stdout.decode("ascii", errors="replace").strip()


def _is_shallow(folder: Path) -> bool:
    return _run_git(folder, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"


def _shallow_hint(folder: Path) -> str:
    return (
        "; this is a shallow clone: fetch more of it (fetch-depth: 0)"
        if _is_shallow(folder)
        else ""
    )


def _git(folder: Path, ref: str, *arguments: str) -> bytes:
    """Return what git prints.

    Raises:
        InputError: It fails: whatever the reason, that is no answer.
    """
    ran = _run_git(folder, *arguments)
    if ran.returncode:
        raise InputError(f"--against {ref}: git does not read {folder}: {_said(ran)}")
    return ran.stdout


def _said(ran: "subprocess.CompletedProcess[bytes]") -> str:
    """Return why git failed: its first line."""
    said = ran.stderr.decode("utf-8", errors="replace").strip().partition("\n")[0]
    return said or f"git exits {ran.returncode}"


def _run_git(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = ["git", "-C", str(folder), *arguments]
    try:
        # in a hook git names its own repository, which would be taken for that of the folder; and a
        # name is no pattern
        outside = {
            name: value for name, value in environ.items() if not _MISLEADS_GIT.fullmatch(name)
        }
        return subprocess.run(
            command,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**outside, "LC_ALL": "C"},
        )
    except OSError as error:
        raise InputError(f"--against needs git: {error.strerror or error}") from error


_MISLEADS_GIT = re.compile(
    r"GIT_(?:DIR|WORK_TREE|INDEX_FILE|PREFIX|COMMON_DIR|NAMESPACE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES"
    r"|REPLACE_REF_BASE|GRAFT_FILE|SHALLOW_FILE|TRACE.*|.*_PATHSPECS)"
)


# -- updating


class Update(NamedTuple):
    """A baseline made anew.

    Args:
        models: What is to be written.
        accepted: Entry and metric of what grew and was accepted, as `entry/metric`.
        refused: Likewise of what grew and was not: those entries stay as they were.
        added: Entries that were not known.
        removed: Entries that no model has any more.
        replaced: Entries that were not comparable, and accepted: other figures stand there now.
        changed: Entries that are not comparable and were not accepted, with the differences: they
            stay as they were.
        shifted: Entries that were taken over although layers of theirs grew, since their totals did
            not: the layers, as `layer/metric`.
        unused: Patterns that nothing which needs accepting matches.
    """

    models: Mapping[str, Known]
    accepted: tuple[str, ...]
    refused: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    changed: Mapping[str, Sequence[str]] = MappingProxyType({})
    shifted: Mapping[str, Sequence[str]] = MappingProxyType({})
    unused: tuple[str, ...] = ()


def updated(
    before: Mapping[str, Known],
    now: Mapping[str, Known],
    accept: Sequence[str],
    keep: Collection[str] = (),
) -> Update:
    """Return the baseline with every improvement taken over; growth and figures of something else where accepted.

    Args:
        before: What was known.
        now: What was counted.
        accept: Patterns over `entry/metric`, such as `mobilenet_v1*/macs`; over `entry` or
            `entry/*` where an entry is of another target or input now.
        keep: Entries that were not counted, and stay as they were.
    """
    models = {name: before[name] for name in keep if name in before}
    changed: dict[str, list[str]] = {}
    shifted: dict[str, list[str]] = {}
    accepted: list[str] = []
    refused: list[str] = []
    replaced: list[str] = []
    used: set[str] = set()

    def is_accepted(*subjects: str) -> bool:
        meant = {pattern for pattern in accept if any(_is_meant(one, pattern) for one in subjects)}
        used.update(meant)
        return bool(meant)

    for name, known in now.items():
        old = before.get(name, known)
        models[name] = known
        differences = old.differs_from(known.fingerprint)
        if differences:
            if is_accepted(name, f"{name}/*"):
                replaced.append(name)
            else:
                changed[name], models[name] = differences, old
            continue
        grown = _grown(name, old, known)
        missing = [one for one in grown if not is_accepted(one)]
        if missing:
            refused += missing
            models[name] = old
            continue
        accepted += grown
        layers = _grown_layers(old, known)
        if layers:
            shifted[name] = layers
    return Update(
        models=models,
        accepted=tuple(accepted),
        refused=tuple(refused),
        added=tuple(name for name in now if name not in before),
        removed=tuple(name for name in before if name not in models),
        replaced=tuple(replaced),
        changed=changed,
        shifted=shifted,
        unused=tuple(pattern for pattern in accept if pattern not in used),
    )


def _grown(name: str, old: Known, new: Known) -> list[str]:
    both = sorted(old.figures.keys() & new.figures)
    return [f"{name}/{metric}" for metric in both if new.figures[metric] > old.figures[metric]]


def _grown_layers(old: Known, new: Known) -> list[str]:
    """Return what grew of layers that were there before, in metrics of which the whole has no more."""
    called = renamed_layers(old, new)
    layers = {name: called.get(name, name) for name in sorted(new.names)}
    return [
        f"{name}/{metric}"
        for name, was in layers.items()
        for metric in KEPT_OF_LAYERS
        if was in old.names
        and new.layer_figure(name, metric) > old.layer_figure(was, metric)
        and new.figures.get(metric, 0) <= old.figures.get(metric, 0)
    ]


def _is_meant(one: str, pattern: str) -> bool:
    """Whether a pattern matches `entry/metric`; brackets stand for themselves, since entries have them."""
    from fnmatch import fnmatchcase

    return fnmatchcase(one, pattern.replace("[", "[[]"))
