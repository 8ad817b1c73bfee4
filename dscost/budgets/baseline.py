"""What was known before: a small sorted JSON file, one figure a line, so that branches merge.

```json
{
  "models": {
    "resnet18": {
      "fingerprint": {"...": "..."},
      "layers": {
        "conv1/kind": "convolution Conv2d[in_channels=3,out_channels=64,kernel=7,...]",
        "conv1/macs": 118013952,
        "conv1/params": 9408
      },
      "totals": {"macs": 1814073344, "params": 11689512}
    }
  },
  "version": 2
}
```

Version 1 had no kinds. It is read all the same; what only kinds tell is then not comparable.
Figures by conventions, such as `macs@fvcore-0.1.5`, make it version 3; without any it stays 2.
"""

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dscost.budgets.excluding import rest_of
from dscost.budgets.kinds import Kind, parse_kind
from dscost.budgets.metrics import KEPT, KEPT_OF_LAYERS, OF_LAYERS, layer_figure, sum_of_layers
from dscost.budgets.records import Entry
from dscost.budgets.selectors import Selector
from dscost.errors import InputError, NoFileError
from dscost.files import read_text
from dscost.notation.literals import Reference
from dscost.notation.strict_json import parse_json
from dscost.notation.units import counted
from dscost.reports.figures import convention_of
from dscost.reports.records import Report
from dscost.reports.result import Result

VERSION = 2
WITH_CONVENTIONS = 3
"""The version of a baseline that has figures by conventions, which older readers would refuse."""
READ = (1, VERSION, WITH_CONVENTIONS)
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
        figures: What the whole model costs, by metric.
        layers: By layer and metric; what is zero is left out.
        kinds: What those layers are, for selectors.
        rules: By what rules figures by conventions were counted, by metric: a digest.
    """

    fingerprint: Mapping[str, str]
    figures: Mapping[str, Fraction]
    layers: Mapping[tuple[str, str], Fraction]
    kinds: Mapping[str, Kind] = MappingProxyType({})
    rules: Mapping[str, str] = MappingProxyType({})

    def figure(self, metric: str) -> Fraction | None:
        """Return a figure of the whole model; `None` where it was unknown."""
        macs, traffic = self.figures.get("macs"), self.figures.get("traffic_bytes")
        if metric == "flops":
            return None if macs is None else 2 * macs
        if metric == "flops_per_byte":
            return 2 * macs / traffic if macs is not None and traffic else None
        return self.figures.get(metric)

    def layer_figure(self, layer: str, metric: str, selector: Selector | None = None) -> Fraction:
        """Return a figure of a layer, or of what a selector means of it; 0 if it was not there."""
        if metric == "flops":
            return 2 * self.layer_figure(layer, "macs", selector)
        if convention_of(metric) is not None:  # by which no part of a layer is told
            return self.layers.get((layer, metric), Fraction(0))
        kind = self.kinds.get(layer)
        meant = selector.parts_meant(kind) if selector and kind else None
        if kind is None or meant is None:
            return self.layers.get((layer, metric), Fraction(0))
        return Fraction(sum(getattr(kind.parts[at], metric) for at in meant))

    def layer_figures(self, layer: str) -> Sequence[Fraction]:
        """Return all figures of a layer that are kept."""
        return [self.layer_figure(layer, metric) for metric in KEPT_OF_LAYERS]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as its file holds it, counts as whole numbers."""
        figures = {
            f"{layer}/{metric}": int(value) for (layer, metric), value in self.layers.items()
        }
        kinds = {f"{layer}/{KIND}": str(kind) for layer, kind in self.kinds.items()}
        totals = {metric: int(value) for metric, value in self.figures.items()}
        layers = {**figures, **kinds}
        found = {"fingerprint": dict(self.fingerprint), "totals": totals, "layers": layers}
        return {**found, "rules": dict(self.rules)} if self.rules else found

    def has_of_layers(self, metric: str) -> bool:
        """Whether it has a figure of every layer, as far as that is not zero."""
        return metric in (self.figures if convention_of(metric) else OF_LAYERS)

    def comparable(self, rules: Mapping[str, str]) -> "Known":
        """Return it without the figures that rules of now would count otherwise, by metric."""
        others = {metric for metric, one in self.rules.items() if rules.get(metric, one) != one}
        if not others:
            return self
        figures = {name: value for name, value in self.figures.items() if name not in others}
        layers = {key: value for key, value in self.layers.items() if key[1] not in others}
        return self._replace(figures=figures, layers=layers)

    @property
    def names(self) -> frozenset[str]:
        """The layers that have a figure."""
        return frozenset(layer for layer, _ in self.layers)

    def members(self, selector: Selector) -> list[str] | None:
        """Return the layers that a selector means, sorted; `None` where it needs kinds."""
        names = sorted(self.names)
        if selector.needs_kinds and not self.names <= self.kinds.keys():
            return None
        return [name for name in names if selector.matches_kind(name, self.kinds.get(name))]

    def differs_from(self, other: Mapping[str, str]) -> list[str]:
        """Return in what the two are figures of something else."""
        was = self.fingerprint
        return [
            f"{key} was {was.get(key, 'none')}, is {other.get(key, 'none')}"
            for key in sorted({*was, *other})
            if was.get(key) != other.get(key)
        ]


class Baseline(Result):
    """What was known before.

    Args:
        models: What is known of each, by entry of the budget.
        origin: Where it was read, or would have been.
        is_there: Whether there is such a file.
        commit: The commit that has it, as it was named; `None` for the working tree.
        since: The hash of that commit, or of where a branch left it, as short as people write it.
    """

    models: Mapping[str, Known]
    origin: str
    is_there: bool = True
    commit: str | None = None
    since: str | None = None

    def in_a_line(self) -> str:
        """Return where it is, and how many models it has."""
        return f"{self.origin}: {counted(len(self.models), 'model')}"

    def to_dict(self) -> dict[str, Any]:
        """Return the document that its file holds."""
        models = {name: known.to_dict() for name, known in self.models.items()}
        has_conventions = any(known.rules for known in self.models.values())
        return {"version": WITH_CONVENTIONS if has_conventions else VERSION, "models": models}


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
    """Return a setting in words; of an object that is named, with its arguments."""
    if isinstance(value, Reference) and value.parts:
        parts = [f"{name}={_with_parts(part)}" for name, part in sorted(value.parts.items())]
        return f"{value}({', '.join(parts)})"
    return str(value)


def known_of(entry: Entry, report: Report) -> Known:
    """Return what is to be kept of a model that was counted as an entry says."""
    rest = rest_of(entry, report)
    by_others = [one for one in entry.conventions if sum_of_layers(rest.layers, one) is not None]
    kept = (*KEPT, *by_others)
    figures = {metric: value for metric in kept if (value := rest.figure(metric)) is not None}
    layers: dict[tuple[str, str], Fraction] = {}
    kinds = {}
    for layer in rest.layers:
        own = {metric: layer_figure(layer, metric) for metric in (*KEPT_OF_LAYERS, *by_others)}
        if any(own.values()):
            layers |= {(layer.name, metric): value for metric, value in own.items() if value}
            kinds[layer.name] = Kind.of(layer)
    rules = {metric: entry.conventions[metric].digest for metric in by_others if metric in figures}
    return Known(fingerprint_of(entry, report), figures, layers, kinds, rules)


def renamed_layers(before: Known, now: Known) -> dict[str, str]:
    """Return what renamed layers were called before: those of the same kind and figures.

    Among several that are alike, which became which is arbitrary.
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
    return known.kinds[layer], *known.layer_figures(layer)


def baseline_text(models: Mapping[str, Known]) -> str:
    """Return the text of a baseline: sorted, one figure a line, nothing that changes by itself."""
    document = Baseline(models, "").to_dict()
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_baseline(path: Path) -> Baseline | None:
    """Return the baseline of a file, or `None` where there is none."""
    try:
        text = read_text(path, MAX_BYTES)
    except NoFileError:
        return None
    return parse_baseline(text, str(path))


def parse_baseline(text: str, origin: str) -> Baseline:
    """Return the baseline that a text is; an `InputError` says where it is none."""
    document = parse_json(text, origin)
    if not isinstance(document, dict) or not isinstance(document.get("models"), dict):
        raise InputError(f"{origin}: not a baseline of dscost: expected 'version' and 'models'")
    version = document.get("version")
    if type(version) is not int or version not in READ:
        wanted = f"{', '.join(map(str, READ[:-1]))} or {READ[-1]}"
        raise InputError(f"{origin}: expected version {wanted}, found {version!r}")
    models = document["models"].items()
    return Baseline({name: _known(f"{origin}: {name}", one) for name, one in models}, origin)


def _known(where: str, value: Any) -> Known:
    try:
        layers, kinds = {}, {}
        for key, found in value["layers"].items():
            layer, _, metric = key.rpartition("/")
            if metric == KIND:
                kinds[layer] = parse_kind(found)
            else:
                layers[layer, metric] = _figure(key, metric, KEPT_OF_LAYERS, found)
        totals = value["totals"].items()
        figures = {metric: _figure(metric, metric, KEPT, figure) for metric, figure in totals}
        fingerprint = {str(key): str(text) for key, text in value["fingerprint"].items()}
        rules = {str(key): str(digest) for key, digest in value.get("rules", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: not an entry of a baseline: {reason}") from error
    return Known(fingerprint, figures, layers, kinds, rules)


def _figure(key: str, metric: str, kept: Sequence[str], value: Any) -> Fraction:
    if metric not in kept and not convention_of(metric):
        raise ValueError(f"'{key}' is none of its figures")
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a whole number for '{key}', found {value!r}")
    return Fraction(value)
