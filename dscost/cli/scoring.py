"""Options of what scores a converted model, and of what recovers it."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from dscost.cli.places import Read


class Scores(NamedTuple):
    """What a converted model is worth, and what may bring that back."""

    score: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.PY:NAME",
            help="A function of a model (of an ONNX file: of an onnxruntime.InferenceSession) that "
            "returns a number, higher is better, or one per sample: layers are chosen by it.",
        ),
    ] = None
    score_budget: Annotated[
        str | None,
        typer.Option(
            metavar="N|TIME",
            help="How often it may be asked, or for how long: 200, 10min  [default: 100]",
        ),
    ] = None
    score_timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How long one call may take  [default: 10min, then 10 times the slowest]",
        ),
    ] = None
    journal: Annotated[
        Path | None,
        typer.Option(
            help="Keep what it said there, so that nothing is asked twice  "
            "[default: in the cache folder]"
        ),
    ] = None

    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Refit the converted layers to what the model returned on inputs without labels: "
            "a folder of images, an .npy or .npz, or file.py:batches.",
        ),
    ] = None

    def read(self) -> list[Read]:
        """Return the files that are read."""
        found = [("--score", self.score), ("--calibrate", self.calibrate)]
        kept = [("--journal", self.journal)] if self.journal else []
        return [*((option, _file_of(text)) for option, text in found if text), *kept]

    def asked(self) -> dict[str, Any]:
        """Return what is asked for, as `convert_target` takes it."""
        from dscost.converting.asking import OptionText
        from dscost.converting.scoring.asking import USUAL, scorer_of

        journal = self.journal
        usual = USUAL if self.score is not None else None
        scorer = scorer_of(self.score, self.score_budget, self.score_timeout, journal or usual)
        inputs = None if self.calibrate is None else OptionText(self.calibrate)
        return {"scorer": scorer, "calibrate": inputs}


def _file_of(text: str) -> Path:
    """Return the file, or the folder, of `file.py:NAME` or of what names no more than a path."""
    code, _, _ = text.rpartition(":")
    return Path(code if code.endswith(".py") else text)


NO_SCORES = Scores()
