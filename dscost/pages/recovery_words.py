"""How a converted model was recovered, in words."""

from collections.abc import Iterator, Sequence

from dscost.converting.recovering.records import NORMALISED, REFITTED, Recovery, RecoveryStep
from dscost.notation.units import UNKNOWN, counted

BY = {REFITTED: "refitting pointwise weights", NORMALISED: "re-estimating BatchNorm"}
UNCHANGED = {REFITTED: "No layer was refitted", NORMALISED: "No BatchNorm was re-estimated"}
ERRORS_NOTE = "Errors of layers are those of their weights before they were refitted."


def recovery_lines(recovery: Recovery | None) -> Iterator[str]:
    """Yield what each step gained, or that it was undone; nothing where nothing was calibrated.

    >>> step = RecoveryStep(REFITTED, 0.5, 0.25)
    >>> list(recovery_lines(Recovery("x.npy", 64, (step,))))
    ['Recovered on 64 inputs of x.npy: output error 0.5 → 0.25 by refitting pointwise weights.']
    """
    if recovery is None:
        return
    where = f"{counted(recovery.inputs, 'input')} of {recovery.source}"
    kept = [step for step in recovery.steps if step.kept]
    figures = [
        *_figures("score", kept, [(one.score_before, one.score_after) for one in kept]),
        *_figures("output error", kept, [(one.error_before, one.error_after) for one in kept]),
    ]
    if figures:
        yield f"Recovered on {where}: {'; '.join(figures)}."
    for step in recovery.steps:
        if not step.changed:
            what, error = UNCHANGED.get(step.name, step.name), _text(step.error_before)
            yield f"{what} on {where}: output error {error} as it was."
        elif not step.kept:
            yield f"Undone, since it loses: {BY.get(step.name, step.name)}, {_loss(step)}."


def _figures(
    title: str, steps: Sequence[RecoveryStep], values: Sequence[tuple[float | None, float | None]]
) -> Iterator[str]:
    """Yield a figure before the first step, and after each."""
    if not steps or values[0][0] is None:
        return
    parts = [
        f"→ {_text(after)} by {BY.get(step.name, step.name)}"
        for step, (_, after) in zip(steps, values, strict=True)
    ]
    yield f"{title} {_text(values[0][0])} {', '.join(parts)}"


def _loss(step: RecoveryStep) -> str:
    error = f"output error {_text(step.error_before)} → {_text(step.error_after)}"
    if step.score_before is None:
        return error
    return f"score {_text(step.score_before)} → {_text(step.score_after)}, {error}"


def _text(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"


def recovery_notes(recovery: Recovery | None) -> list[str]:
    """Return what the reader must know."""
    if recovery is None:
        return []
    notes = [note for step in recovery.steps for note in step.notes]
    is_refitted = any(step.name == REFITTED and step.kept for step in recovery.steps)
    return [*notes, *recovery.notes, *([ERRORS_NOTE] if is_refitted else [])]
