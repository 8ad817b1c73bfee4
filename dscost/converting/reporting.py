"""A decided subject → its conversion, done, and what is to be said of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import nn

from dscost.analysis import Request, count
from dscost.analysis.choice_timing import BothTimes, time_both
from dscost.converting.applying import applied, undisturbed
from dscost.converting.coding import ToWrite, code_of
from dscost.converting.deciding import Decided
from dscost.converting.exporting import Exported, as_program
from dscost.converting.loading import Subject
from dscost.converting.outcomes import outcome_of
from dscost.converting.plan_file import Plan
from dscost.converting.proving import proved
from dscost.converting.results import Converted, commented
from dscost.converting.sites import Site
from dscost.timing import Progress, TimingOptions


class ConvertedModel(NamedTuple):
    """A converted model.

    Args:
        module: A new one.
        plan: What was done.
        converted: What came of it.
        subject: What it was made of.
    """

    module: nn.Module
    plan: Plan
    converted: Converted
    subject: Subject

    def plan_text(self) -> str:
        """Return the plan as YAML, with its figures as comments."""
        return commented(self.plan, self.converted.outcome)

    def code(self, path: Path, weights: str = "cheaper.pt") -> str:
        """Return code that makes it, without its weights, and needs no dscost.

        Args:
            path: Where the code will be.
            weights: The file that its weights are or may be in.

        Raises:
            InputError: No code makes this model.
        """
        layers = self.converted.outcome.layers
        return code_of(ToWrite(self.subject, self.module, layers), path, weights)

    def with_converted(self, converted: Converted) -> "ConvertedModel":
        """Return the same model, with something else told of it."""
        return self._replace(converted=converted)

    def exported(self) -> Exported:
        """Return it as a program of torch.export.

        Raises:
            InputError: torch cannot export it.
        """
        with self.subject.importing():
            return as_program(self.module, self.subject.arguments, self.subject.dtype)


def done(
    subject: Subject,
    sites: Sequence[Site],
    decided: Decided,
    timing: TimingOptions,
    progress: Progress | None,
    *,
    every_layer: bool,
) -> ConvertedModel:
    """Return a subject converted as it was decided; timed, if a time was promised.

    Raises:
        InputError: It would do something else once converted, or its weights cannot be converted.
    """

    def timed(made: ConvertedModel, turn: int) -> BothTimes:
        models = subject.whole_model(), subject.whole_model(made.module)
        return time_both(models, timing, progress, turn=turn)

    convert = partial(_converted, subject, sites, every_layer=every_layer)
    return proved(subject, decided, convert, timed)


def _converted(
    subject: Subject, sites: Sequence[Site], decided: Decided, *, every_layer: bool
) -> ConvertedModel:
    """Return a subject converted as it was decided."""
    plan = decided.plan
    with undisturbed():
        conversion = applied(
            subject.module,
            [site.decided(plan.layers) for site in sites],
            tried=subject.arguments,
            # what a score has been asked about had the weights nearest to the kernels
            batches=subject.batches if decided.scored is None else (),
            keeps_tensors=subject.is_own,
        )
    after = count(conversion.module, Request(subject.arguments)).report.totals.as_is
    outcome = outcome_of(subject, decided, conversion.layers, after)
    converted = Converted(outcome, decided.environment, every_layer)
    return ConvertedModel(conversion.module, plan, converted, subject)
