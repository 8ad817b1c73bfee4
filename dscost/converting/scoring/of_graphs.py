"""An ONNX file → sessions for a score to be asked about, each of the file converted by a plan.

No torch. What the function is given is an `onnxruntime.InferenceSession`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto

from dscost.analysis import Request
from dscost.converting.decisions import Decision
from dscost.converting.decomposing import Factors
from dscost.converting.graph_loading import GraphSubject, load_graph
from dscost.converting.graph_rewriting import rewritten
from dscost.converting.outcomes import layer_outcome
from dscost.converting.plan_file import Plan
from dscost.converting.recovering.calibrated_graphs import Calibration
from dscost.converting.scoring.asking import Scorer
from dscost.converting.scoring.calling import Stopped, seeded, watched
from dscost.converting.scoring.deciding import evaluator_for
from dscost.converting.scoring.evaluating import Evaluator
from dscost.converting.sites import Key, Site
from dscost.errors import InputError, NoShapeError, first_line, needing
from dscost.graphs.reading import read_whole
from dscost.graphs.running import silent_options
from dscost.graphs.writing import serialized
from dscost.timing import Progress

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def evaluator_of(
    subject: GraphSubject,
    sites: Sequence[Site],
    scorer: Scorer,
    progress: Progress | None,
    calibration: Calibration | None = None,
) -> Evaluator:
    """Return what scores a file converted by plans.

    Raises:
        InputError: Its journal is of another.
    """
    weights = sha256(serialized(subject.model)).hexdigest()
    with needing("onnxruntime", "onnxruntime", before="a score of an ONNX file: "):
        import onnxruntime

    of = {
        "target": subject.target,
        "weights": weights,
        "onnxruntime": onnxruntime.__version__,
    }
    return evaluator_for(scorer, SessionMaker(subject, sites, calibration), of, progress)


def load_scored(
    target: str, request: Request, scorer: Scorer | None, plan: Plan | None = None
) -> GraphSubject:
    """Return what `load_graph` does; of sizes that the file leaves open, those that a score gives.

    Raises:
        InputError: As of `load_graph`; or the function fails before it runs a session.
        UnavailableError: ONNX Runtime is not installed.
    """
    try:
        return load_graph(target, request, plan)
    except NoShapeError as error:
        if scorer is None:
            raise
        session = session_of(read_whole(Path(target)))
        given = _watching(session)
        try:
            watched(scorer.score, session, scorer.timeout_s)
        except InputError:
            if not given:
                raise
        if not given:
            name = scorer.score.name
            raise NoShapeError(f"{error}; {name} does not run it, which would tell") from error
    shapes = {name: np.shape(value) for name, value in given.items()}
    if len({shape[:1] for shape in shapes.values()}) == 1:
        with suppress(InputError):  # the axis may not be that of a batch
            one = {name: (*(1,) * len(shape[:1]), *shape[1:]) for name, shape in shapes.items()}
            return load_graph(target, request._replace(input=one), plan)
    return load_graph(target, request._replace(input=shapes), plan)


def _watching(session: "InferenceSession") -> dict[str, np.ndarray]:
    """Have a session stop where it is first run; return what it is given then, filled by that."""
    given: dict[str, np.ndarray] = {}

    def run(output_names: Any, input_feed: Mapping[str, Any], run_options: Any = None) -> None:
        given.update({name: np.asarray(value) for name, value in input_feed.items()})
        raise Stopped

    session.run = run
    return given


class SessionMaker:
    """Makes sessions of ONNX Runtime.

    Args:
        subject: The file.
        sites: Its convolutions.
        calibration: What converted files can be recovered by.
    """

    def __init__(
        self,
        subject: GraphSubject,
        sites: Sequence[Site],
        calibration: Calibration | None = None,
    ) -> None:
        self._model, self._sites, self._calibration = subject.model, sites, calibration
        self.recovers_by = None if calibration is None else calibration.given.fingerprint

    def converted(self, decisions: Mapping[str, Decision]) -> "InferenceSession":
        """Return the model converted by a plan."""
        return session_of(self._converted(decisions))

    def recovered(self, decisions: Mapping[str, Decision]) -> "InferenceSession":
        """Return the model converted by a plan and recovered."""
        assert self._calibration is not None
        model = self._converted(decisions)
        sites = [site.decided(decisions) for site in self._sites]
        self._calibration.recovery(model, [layer_outcome(site) for site in sites])
        return session_of(model)

    def ruined(self) -> "InferenceSession":
        """Return it with every convolution that can be converted set to zero."""
        able = [site.name for site in self._sites if site.reason is None]
        due = [site.decided(dict.fromkeys(able, 1)) for site in self._sites if site.name in able]
        return session_of(self._rewritten(due, is_ruined=True))

    def given(self, model: ModelProto) -> "InferenceSession":
        """Return a session of a model."""
        return session_of(model)

    def running(self) -> AbstractContextManager[None]:
        """Let a function run with the same random numbers every time."""
        return seeded()

    def _converted(self, decisions: Mapping[str, Decision]) -> ModelProto:
        sites = [site.decided(decisions) for site in self._sites]
        return self._rewritten([site for site in sites if site.form is not None])

    def _rewritten(self, due: Sequence[Site], *, is_ruined: bool = False) -> ModelProto:
        if not due:
            return self._model
        factors: dict[Key, Factors] = {}
        for site in due:
            if site.key not in factors:
                found = site.factors()
                factors[site.key] = _zeros(found) if is_ruined else found
        return rewritten(self._model, due, factors)


def session_of(model: ModelProto) -> "InferenceSession":
    """Return a session of ONNX Runtime for a model.

    Raises:
        InputError: ONNX Runtime does not take it.
        UnavailableError: ONNX Runtime is not installed.
    """
    with needing("onnxruntime", "onnxruntime", before="a score of an ONNX file: "):
        import onnxruntime

    content, providers = serialized(model), ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(content, silent_options(), providers=providers)
    except Exception as error:  # another program may say anything
        told = f"ONNX Runtime does not run the model to score it: {first_line(error)}"
        raise InputError(told) from error


def _zeros(factors: Factors) -> Factors:
    return factors._replace(
        depthwise=np.zeros_like(factors.depthwise), pointwise=np.zeros_like(factors.pointwise)
    )
