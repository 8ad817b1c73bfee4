"""`dscost convert`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from dscost.cli import measuring as how
from dscost.cli import options as opt
from dscost.cli.getting import SAVED_TO
from dscost.cli.model_files import ModelFile
from dscost.cli.output_options import DEFAULTS, OfConverted
from dscost.cli.places import Read, check_places, target_files
from dscost.cli.printing import Output
from dscost.cli.scoring import NO_SCORES, Scores
from dscost.cli.streams import foreign_code
from dscost.converting.saving import Saved, check_saved, code_text, saved
from dscost.errors import DscostError, InputError
from dscost.files import write_whole
from dscost.pages import View
from dscost.runtimes import TORCH
from dscost.sources import is_graph
from dscost.timing import Progress, TimingOptions

if TYPE_CHECKING:
    from dscost.converting.of_graphs import ConvertedGraph
    from dscost.converting.reporting import ConvertedModel

    AnyConverted = ConvertedModel | ConvertedGraph

PLANS = (".yaml", ".yml")
CODE = ".py"
WEIGHTS = (".pt", ".safetensors")
"""Ends of files that hold weights alone."""
MISSED = 1
"""The exit code where the model is converted, and a goal is not met."""


class Saves(NamedTuple):
    """What is written besides the result, and where."""

    save: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write the converted model there: its weights as .pt (a state dict) or "
            ".safetensors, or all of it as .pt2 (torch.export) or .onnx; repeatable."
        ),
    ] = None
    save_code: Annotated[
        Path | None,
        typer.Option(help="Write a module of Python there that makes it and needs no dscost."),
    ] = None
    save_plan: Annotated[Path | None, typer.Option(help="Write the plan there, as YAML.")] = None

    @property
    def models(self) -> Sequence[Path]:
        """The files of the model or its weights."""
        return self.save or ()

    def with_exported(self, files: Sequence[ModelFile]) -> "Saves":
        """Return them with the model files that are exported, which is to save them as well."""
        for one in files:
            if one.version is not None:
                raise InputError(
                    f"--export {one.entry}: it is the converted model that is written, "
                    f"by onnx={one.path}"
                )
        return self._replace(save=[*self.models, *(one.path for one in files)])

    def check(self, target: str, out: Output, read: Sequence[Read]) -> None:
        """Refuse files that cannot be written, before any work; a plan may replace itself."""
        for path in self.models:
            check_saved(path, of_graph=is_graph(target))
        if self.save_code is not None and is_graph(target):
            raise InputError(f"--save-code: {target} is an ONNX file, no model that code makes")
        if self.save_code is not None and self.save_code.suffix != CODE:
            raise InputError(f"--save-code: code is written as {CODE}, found '{self.save_code}'")
        if self.save_plan is not None and self.save_plan.suffix not in PLANS:
            endings = " or ".join(PLANS)
            raise InputError(
                f"--save-plan: plans are written as {endings}, found '{self.save_plan}'"
            )
        results = [out.path, *(file for _, file in out.exports)]
        files = [*self.models, self.save_code, self.save_plan, *results]
        check_places(files, [one for one in read if one[0] != "--plan"])
        others = [file for file in files if file is not self.save_plan]
        check_places(others, [one for one in read if one[0] == "--plan"])

    def contents(self, result: "AnyConverted", progress: Progress | None) -> "Contents":
        """Return what is to be written: all that can be, and why something else cannot."""
        found = Contents([], None)
        if self.save_plan is not None:
            found.files.append((self.save_plan, result.plan_text(), ""))
        models = [(path, self._saved) for path in self.models]
        for path, make in (*models, (self.save_code, self._code)):
            if path is None:
                continue
            if progress:
                progress(1.0, f"making {path.name}")
            try:
                found.files.append((path, *make(result, path)))
            except DscostError as error:
                found = found._replace(problem=found.problem or error)
        return found

    def _saved(self, result: "AnyConverted", path: Path) -> Saved:
        """Return the model or its weights; what was measured does not choose the same layers twice.

        Weights then fit no other model than one that code or a plan of now makes.
        """
        from dscost.converting.results import MEASURED

        made = saved(result, path)
        outcome = result.converted.outcome
        if not any(layer.converted for layer in outcome.layers):
            return made._replace(told=made.told or "as it was: nothing is converted")
        is_alone = path.suffix in WEIGHTS and not (self.save_code or self.save_plan)
        if is_alone and outcome.proof == MEASURED:
            return made._replace(
                told="weights; --save-code cheaper.py beside --save writes the model that they fit"
            )
        return made

    def _code(self, result: Any, path: Path) -> Saved:
        weights = next((one.name for one in self.models if one.suffix in WEIGHTS), None)
        return Saved(code_text(result, path, weights or SAVED_TO).encode())


class Contents(NamedTuple):
    """What files are to hold, with what is told of them; and why one of them is not written."""

    files: list[tuple[Path, bytes | str, str]]
    problem: DscostError | None

    def tell(self, out: Output) -> None:
        """Say what was written; raise why something was not."""
        for path, _, told in self.files:
            out.note(f"wrote {path}{told and f' ({told})'}")
        if self.problem is not None:
            raise self.problem


NOTHING = Saves()


def convert(
    target: Annotated[
        str, typer.Argument(help="Any target of dscost model that is a model, not a saved report.")
    ],
    goals: Annotated[
        list[str] | None,
        typer.Option(
            "--goal",
            metavar="METRIC=VALUE",
            help="Choose layers and ranks: macs=0.5x, params=4M, latency_s=20ms, error=0.3; "
            "score=0.98x with --score.",
        ),
    ] = None,
    fastest: Annotated[
        bool,
        typer.Option(
            "--fastest", help="Convert just the layers that run faster converted, measured now."
        ),
    ] = False,
    proof: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="REPORT",
            help="For --fastest: the timed report.json of dscost model, in place of measuring.",
        ),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Rank (depth multiplier) of every layer  [default: 1]")
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Which stage runs first: depthwise-first, pointwise-first, or of every layer the "
            "best  [default: depthwise-first; best for a goal with --score]"
        ),
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="Do what a plan file says.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB", help="Convert only layers of this name, such as layer1.*; repeatable."
        ),
    ] = None,
    min_channels: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Leave convolutions with fewer input or output channels as they are  "
            "[default: 32; 16 for a goal with --score]",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH[:KEY]",
            help="Weights of the model: .safetensors, or a state dict as .pt or .pth.",
        ),
    ] = None,
    ignore_extra: Annotated[
        bool, typer.Option("--ignore-extra", help="Ignore weights that the model does not have.")
    ] = False,
    scores: Scores = NO_SCORES,
    saves: Saves = NOTHING,
    asking: opt.Asking = opt.AS_IT_IS,
    batch: Annotated[int | None, typer.Option(min=1, help="Inputs at once  [default: 1]")] = None,
    trust: opt.Trust = False,
    device: Annotated[
        str | None, typer.Option(help="Where to measure for latency_s: cpu or cuda  [default: cpu]")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What runs what is measured (dscost list runtimes)  [default: torch]",
        ),
    ] = None,
    threads: opt.Threads = None,
    clock: Annotated[
        str,
        typer.Option(
            help="wall, or for a goal cpu: the processor time of one thread, which other processes "
            "disturb less."
        ),
    ] = "wall",
    memory_format: Annotated[
        str | None,
        typer.Option(
            help="Layout of what is measured: contiguous or channels_last  [default: contiguous]"
        ),
    ] = None,
    time_budget: opt.TimeBudget = None,
    seed: opt.Seed = 0,
    every_layer: Annotated[
        bool, typer.Option("--all", help="Show layers that cannot be converted as well.")
    ] = False,
    asked: OfConverted = DEFAULTS,
) -> None:
    """Make a model depthwise-separable, weights included: by a goal, what pays, or a plan."""
    read = [*_read_files(target, plan, weights, proof), *scores.read()]
    out = asked.output("convert", View(brief=asked.quiet), read=read)
    saves = saves.with_exported(out.models)
    goal = _only(goals)
    with out.progress():  # an exporter takes a while to import
        saves.check(target, out, read)
    measuring = how.Measuring(
        device=None if device is None else [device],
        runtime=runtime,
        threads=threads,
        clock=clock,
        memory_format=memory_format,
        time_budget=time_budget,
        seed=seed,
    )
    timing = _timing(goal, measuring, fastest=fastest, is_told=proof is not None)
    (target,) = asking.models([target], out.note)
    with out.progress() as progress, foreign_code(target):
        # what imports torch is imported where it is seen on a terminal
        from dscost.converting.convert import convert_target

        _check_weights(target, weights)
        result = convert_target(
            target,
            asking.request(batch, trust=trust),
            goal=goal,
            rank=rank,
            order=order,
            plan=plan,
            where=where,
            min_channels=min_channels,
            weights=weights,
            ignore_extra=ignore_extra,
            timing=timing,
            fastest=proof or fastest,
            every_layer=every_layer,
            progress=progress,
            **scores.asked(),
        )
        out.check(result.converted)
        contents = saves.contents(result, progress)
    for path, content, _ in contents.files:
        write_whole(path, content)
    out.write(result.converted)
    contents.tell(out)
    if result.converted.missed is not None:
        raise typer.Exit(MISSED)


def _check_weights(target: str, weights: Path | None) -> None:
    """Refuse weights that cannot be those of a torch model, before that is made."""
    if weights is not None and not is_graph(target):
        from dscost.converting.weights import check_weights_path

        check_weights_path(weights)


def _timing(
    goal: str | None, measuring: how.Measuring, *, fastest: bool, is_told: bool
) -> TimingOptions:
    """Return how to measure; what says so is refused where nothing is measured."""
    if measuring.clock != "wall" and not _is_of_time(goal):
        raise InputError("--clock is for --goal latency_s=…: nothing else is planned by it")
    if is_told or not (_is_of_time(goal) or fastest):
        for name in ("device", "runtime", "threads", "memory_format", "time_budget"):
            if getattr(measuring, name) is not None:
                why = "is for --goal latency_s=… and --fastest: nothing else is measured"
                if is_told:
                    why = "has no effect: --from has what was measured"
                raise InputError(f"--{name.replace('_', '-')} {why}")
    runtimes = opt.parse_names(measuring.runtime)
    if len(runtimes) > 1:
        named = " and ".join(runtimes)
        raise InputError(f"--runtime: a model is converted for one at a time, found {named}")
    if runtimes in ((), (TORCH,)):
        layout = measuring.memory_format or "contiguous"
        measuring = measuring._replace(memory_format=layout, mode="eager")
    return measuring.options()


def _is_of_time(goal: str | None) -> bool:
    return goal is not None and goal.strip().startswith("latency_s")


def _only(goals: list[str] | None) -> str | None:
    """Return the goal, if one was given and no more."""
    if goals and len(goals) > 1:
        raise InputError(f"--goal: one can be reached at a time, found {' and '.join(goals)}")
    return goals[0] if goals else None


def _read_files(
    target: str,
    plan: Path | None,
    weights: Path | None,
    proof: Path | None,
) -> list[Read]:
    """Return the files that are read."""
    named = {"--plan": plan, "--weights": weights, "--from": proof}
    return [*target_files([target]), *((what, path) for what, path in named.items() if path)]
