"""Plans: which layers of a model are converted, and to which rank; as data, and as YAML."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from dscost.converting.decisions import (
    DECISION,
    KEEP,
    Decision,
    decision_of,
    excerpt,
    fault_of,
    form_of,
)
from dscost.errors import (
    FileProblems,
    InputError,
    NoFileError,
    Place,
    Problem,
    UnknownNameError,
    hint,
    some_of,
)
from dscost.layers.orders import Form, Order
from dscost.notation import forms
from dscost.notation.forms import Form as Field
from dscost.notation.forms import Keyed
from dscost.notation.inputs import INPUT_EXAMPLE, TensorSpec, input_pattern, parse_input
from dscost.notation.json_schema import Schema
from dscost.notation.marked_yaml import Node, Problems, quoted, read_yaml
from dscost.notation.units import counted, format_layer
from dscost.reports.result import Shown

if TYPE_CHECKING:
    from dscost.converting.scoring.results import Scored

VERSION = 1
LONGEST_KEY = 800
"""Characters of a key that YAML takes without a question mark before it: it would take 1,024
bytes."""


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """Which layers are converted.

    Args:
        layers: Rank, rank with its order such as `2 pointwise-first`, or `KEEP`, by the name of
            the layer, in the order of the model; a layer that is not named is kept.
        target: Of what it was made, as on the command line.
        inputs: Which inputs it was made for.
        goal: What it was made for, as `--goal` spells it.
        runtime: By whose times, where those are not of torch.
        missed: Where that cannot be reached: the nearest goal that can, which this plan reaches.
        scored: What a score said of it, where it was chosen by one; a file has it as a comment.
        path: The file that it was read from.
        places: Where the file names each layer.
        input_place: Where the file has its inputs.

    Raises:
        InputError: A rank is none; the text names every such layer.
    """

    layers: Mapping[str, Decision]
    target: str | None = None
    inputs: tuple[TensorSpec, ...] = ()
    goal: str | None = None
    runtime: str | None = field(default=None, kw_only=True)
    missed: str | None = field(default=None, compare=False, kw_only=True)
    scored: "Scored | None" = field(default=None, compare=False, kw_only=True)
    path: str | None = field(default=None, compare=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)
    input_place: Place | None = field(default=None, compare=False)

    def in_a_line(self) -> str:
        """Return of what it is, how many layers are to be converted, and what for."""
        target = "" if self.target is None else f"{self.target}: "
        goal = "" if self.goal is None else f", goal {self.goal}"
        if self.missed is not None:
            goal += f" MISSED: the nearest is {self.missed}"
        if self.scored is not None:
            goal += f", score {self.scored.after:.4g} of {self.scored.before:.4g}"
        layers = counted(len(self.layers), "convolution")
        return f"{target}{len(self.ranks)} of {layers} to be made depthwise-separable{goal}"

    def __post_init__(self) -> None:
        self.refuse([(name, f"'{name}': {fault}") for name, fault in _faults(self.layers)])
        spelled = {name: decision_of(form_of(one)) for name, one in self.layers.items()}
        object.__setattr__(self, "layers", spelled)

    @property
    def forms(self) -> dict[str, Form]:
        """The layers that are converted, with what they become."""
        forms = {name: form_of(one) for name, one in self.layers.items()}
        return {name: form for name, form in forms.items() if form is not None}

    @property
    def ranks(self) -> dict[str, int]:
        """The layers that are converted, with their ranks."""
        return {name: form.rank for name, form in self.forms.items()}

    @property
    def orders(self) -> dict[str, Order]:
        """The layers that are converted, with which of their two stages runs first."""
        return {name: form.order for name, form in self.forms.items()}

    @contextmanager
    def naming_its_input(self) -> Iterator[None]:
        """Say of an error of a model that was given the plan's inputs where these stand."""
        try:
            yield
        except (FileProblems, NoFileError, UnknownNameError):  # have nothing to do with an input
            raise
        except InputError as error:
            if self.input_place is None:
                raise
            line, column = self.input_place
            place = f"{self.path}:{line}:{column}"
            raise InputError(f"{error} (its input is that of {place})") from error

    def check(self, reasons: Mapping[str, str | None], others: Mapping[str, str]) -> None:
        """Refuse a plan that speaks of layers that are not there or cannot be converted.

        Args:
            reasons: Why each convolution of the model cannot be converted; none of those that can.
            others: The classes of the modules that are no convolutions, by name.

        Raises:
            InputError: It does; if it was read from a file, every problem has its place.
        """
        known = sorted(reasons, key=lambda name: reasons[name] is not None)  # those that can first
        problems: list[tuple[str, str]] = []
        for name, decision in self.layers.items():
            named = format_layer(name)
            if name in reasons:
                if decision != KEEP and reasons[name] is not None:
                    problems.append((name, f"{named} cannot be converted: {reasons[name]}"))
            elif name in others:
                problems.append((name, f"{named} is no convolution (class {others[name]})"))
            else:
                nearest = hint(name, known, problems) or f" (known: {some_of(known, 6)})"
                problems.append((name, f"unknown layer '{name}'{nearest}"))
        self.refuse(problems)

    def refuse(self, problems: Sequence[tuple[str, str]]) -> None:
        """Raise what is wrong with layers, each with its place if the plan was read from a file."""
        if not problems:
            return
        if self.path is None:
            raise InputError("\n".join(f"plan: {message}" for _, message in problems))
        found = [Problem(*self.places.get(name, (1, 1)), message) for name, message in problems]
        raise FileProblems(self.path, found)


Planning = Plan | Mapping[str, Decision] | str | PathLike[str]
"""What a caller may have for a plan: a plan, ranks by layer, or the path of a plan file."""


def plan_of(given: Planning) -> Plan:
    """Return a plan from what a caller has.

    Raises:
        InputError: A file cannot be read or is wrong, or a rank is none.

    >>> plan_of({"conv1": "keep", "layer1.0.conv1": 2}).ranks
    {'layer1.0.conv1': 2}
    """
    if isinstance(given, Plan):
        return given
    if isinstance(given, Mapping):
        return Plan(dict(given))
    return read_plan(Path(given))


def read_plan(path: Path) -> Plan:
    """Return what a plan file says.

    Raises:
        InputError: It cannot be read, or is wrong; then every mistake has its place.
    """
    problems = Problems()
    return plan_in(read_yaml(path, problems), str(path), problems)


def plan_text(
    plan: Plan, *, figures: Mapping[str, str] | None = None, head: Sequence[str] = ()
) -> str:
    """Return a plan as YAML.

    Args:
        plan: What to write.
        figures: What stands behind a layer as a comment.
        head: Comments above everything.

    Raises:
        InputError: A name is no text, so that no file can hold it.

    >>> plan = Plan({"conv1": "keep", "conv2": 2}, "net.yaml")
    >>> print(plan_text(plan, figures={"conv2": "error 0.31"}), end="")
    version: 1
    target: net.yaml
    layers:  # the rank that a layer is converted to, or keep
      conv1: keep
      conv2: 2  # error 0.31
    """
    for name in plan.layers:
        if any("\ud800" <= character <= "\udfff" for character in name):
            why = "half of a surrogate pair is no text"
            raise InputError(f"no file can hold the name {name!a} of a layer: {why}")
    lines = [f"# {_one_line(line)}" for line in head]
    lines.append(f"version: {VERSION}")
    if plan.target is not None:
        lines.append(f"target: {quoted(plan.target)}")
    if plan.inputs:
        texts = [quoted(str(spec)) for spec in plan.inputs]
        several = ["input:", *(f"  - {text}" for text in texts)]
        lines += several if len(texts) > 1 else [f"input: {texts[0]}"]
    if plan.goal is not None:
        lines.append(f"goal: {quoted(plan.goal)}")
    if plan.runtime is not None:
        lines.append(f"runtime: {quoted(plan.runtime)}")
    none = "" if plan.layers else " {}"
    lines.append(f"layers:{none}  # the rank that a layer is converted to, or keep")
    for name, decision in plan.layers.items():
        comment = f"  # {_one_line(figures[name])}" if figures and name in figures else ""
        lines.append(f"  {_key(name)}: {decision}{comment}")
    return "\n".join([*lines, ""])


def _one_line(comment: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in comment).split())


def _key(name: str) -> str:
    written = quoted(name)
    return written if len(written.encode()) <= LONGEST_KEY else f"? {written}\n  "


def _faults(layers: Mapping[str, Decision]) -> Iterator[tuple[str, str]]:
    """Yield the layers whose decision is none, and why."""
    for name, decision in layers.items():
        fault = fault_of(decision)
        if fault is not None:
            yield name, fault


# -- reading


def _decisions(node: Node, problems: Problems) -> Mapping[str, Node] | None:
    if not isinstance(node.value, dict):
        problems.at(node, f"expected ranks by layer, such as {{conv1: 2}}, found {node.kind}")
        return None
    for name, fault in _faults({name: child.plain for name, child in node.value.items()}):
        problems.at(node.value[name], f"'{name}': {fault}")
    return node.value


def _inputs(node: Node, problems: Problems) -> list[TensorSpec]:
    """Return inputs as `--input` takes them, one or a list; a list of sizes is one input."""
    if isinstance(node.value, list) and node.value:
        sizes = [one.value for one in node.value]
        if all(type(size) is int for size in sizes):
            only = problems.kept(node, _input, ",".join(map(str, sizes)))
            return [only] if only else []
    children = node.value if isinstance(node.value, list) else [node]
    found = [problems.kept(child, _input, child.plain) for child in children]
    return [one for one in found if one is not None]


def _input(text: object) -> TensorSpec:
    if not isinstance(text, str):
        raise InputError(f"expected something like {INPUT_EXAMPLE}, found {excerpt(text)}")
    spec = parse_input(text)
    if any(size < 0 for size in spec.shape):
        raise InputError(f"an input cannot have a negative size, found '{spec}'")
    return spec


_SIZES = forms.array({"type": "integer", "minimum": 1})
_TENSOR: Schema = {"type": "string", "pattern": input_pattern()}
_INPUT: Schema = {"anyOf": [_TENSOR, _SIZES, {"type": "array", "items": _TENSOR}]}

PLAN = Keyed(
    {
        "version": forms.version(VERSION),
        "target": forms.TEXT,
        "input": Field(_inputs, _INPUT).described("For which inputs."),
        "goal": forms.TEXT,
        "runtime": forms.TEXT,
        "layers": Field(_decisions, {"type": "object", "additionalProperties": DECISION}),
    },
    required=("version", "layers"),
    expected="a plan with version, target, input, goal, runtime, layers",
    of=Plan,
)
"""The file of a plan."""


def plan_in(root: Node, name: str, problems: Problems) -> Plan:
    """Return the plan that a document is.

    Raises:
        FileProblems: Something is wrong with it, or was before.
    """
    values = PLAN.read(root, problems)
    problems.refuse(name)
    layers: Mapping[str, Node] = values["layers"]
    inputs = tuple(values.get("input", ()))
    return Plan(
        {layer: node.value for layer, node in layers.items()},
        values.get("target"),
        inputs,
        values.get("goal"),
        runtime=values.get("runtime"),
        path=name,
        places={layer: node.key_place for layer, node in layers.items()},
        input_place=root.value["input"].place if inputs else None,
    )
