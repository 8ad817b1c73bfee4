"""Another Python that counts models: how it is started, asked and ended, and what it does.

Both ends are the same program of the same user: this contains accidents, not attacks. Requests and
answers are values, pickled; answers may be of dscost's own types only.
"""

import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, NoReturn

from dscost import errors
from dscost.analysis.isolated import Answer, Died, Swap, how_it_ended
from dscost.errors import DscostError, FileProblems, InputError, UnavailableError
from dscost.foreign.unraised import tell_in_a_line
from dscost.timing import Progress

if TYPE_CHECKING:
    from dscost.analysis.counting import CountedModel

_POLL_S = 0.1
_LAST_WORDS_S = 0.5
"""How long after the end of a worker something that it has said may still arrive."""
_LENGTH_BYTES = 8


class Process:
    """One worker, with requests on its stdin, answers on its stdout, models' prints on stderr."""

    def __init__(self) -> None:
        serve_here = "from dscost.analysis.workers import serve; serve()"
        code = f"import sys; sys.path[:] = {sys.path!r}; {serve_here}"
        if not sys.executable:
            raise UnavailableError(
                "this Python does not know where it is, so no model can be isolated: --no-isolate"
            )
        # in a session of its own, so that all that a model starts can be ended with it
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            start_new_session=os.name == "posix",
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._inbox: Queue[Any] = Queue()
        self._listener = Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()
        self._is_over = False

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(
        self, target: str, request: Any, limit_s: float, progress: Progress | None = None
    ) -> Answer:
        """Return the answer to a request.

        Raises:
            DscostError: What the request has raised there, or it took longer than the limit.
            Died: The worker has died.
        """
        deadline = monotonic() + limit_s
        message = pickle.dumps(request)
        with suppress(OSError, ValueError):  # it has died, or was ended: what of is told below
            assert self._process.stdin is not None
            _send(self._process.stdin, message)
        while True:
            kind, content = self._next(target, deadline, limit_s)
            if kind == "progress" and progress:
                progress(*content)
            elif kind == "answer":
                answer: Answer = content
                return answer
            elif kind == "error":
                raise _error_of(*content)
            elif kind == "bug":
                raise RuntimeError(content)

    def _next(self, target: str, deadline: float, limit_s: float) -> tuple[str, Any]:
        while True:
            code = self._process.poll()  # before its last words, so that none is missed
            message: tuple[str, Any] | None = None
            with suppress(Empty):
                message = self._inbox.get(timeout=_POLL_S if code is None else _LAST_WORDS_S)
            if message is not None:
                return message
            if code is not None:
                self.end()  # and what the model has started
                raise Died(f"{target}: its code ended the process ({how_it_ended(code)})")
            if monotonic() > deadline:
                self.end()
                raise InputError(
                    f"{target}: not done after {limit_s:g} s, stopped "
                    "(--load-timeout sets the limit)"
                )

    def end(self) -> None:
        """End it and all it has started; once, since its number may be another's afterwards."""
        if self._is_over:
            return
        self._is_over = True
        with suppress(OSError):
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._listener.join(_LAST_WORDS_S)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):  # what was never read by the one that is gone
                assert pipe is not None
                pipe.close()

    def _listen(self, stream: IO[bytes]) -> None:
        for message in _received(stream):
            try:
                self._inbox.put(_Values(io.BytesIO(message)).load())
            # whatever is wrong with an answer, somebody waits for it
            except Exception as error:  # noqa: BLE001
                self._inbox.put(
                    ("bug", f"an answer that cannot be read: {errors.first_line(error)}")
                )
        self._inbox.put(None)


class _Values(pickle.Unpickler):
    """Reads what a worker answers: dscost's own types, and plain ones."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a type that may be part of an answer."""
        if module.partition(".")[0] == "dscost" or (module, name) == ("builtins", "dict"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


_BY_NAME = {
    kind.__name__: kind for kind in (UnavailableError, errors.SpecError, errors.OutputError)
}


def _error_of(name: str, text: str, content: Any) -> DscostError:
    if name == FileProblems.__name__:
        return FileProblems(*content)
    return _BY_NAME.get(name, InputError)(text)


def _send(stream: IO[bytes], message: bytes) -> None:
    stream.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)
    stream.flush()


def _received(stream: IO[bytes]) -> Iterator[bytes]:
    with suppress(OSError, ValueError):
        while len(head := stream.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
            yield stream.read(int.from_bytes(head, "big"))


# -- in the worker


def serve() -> NoReturn:
    """Answer requests until there are no more."""
    requests, answers = _private_pipes()
    tell_in_a_line(_say)
    inbox: Queue[bytes] = Queue()
    Thread(target=_fetch, args=(requests, inbox), daemon=True).start()
    with suppress(OSError):  # where memory runs out, Linux ends this process rather than any other
        Path("/proc/self/oom_score_adj").write_text("500")
    owner = os.getpid()
    models: list[CountedModel] = []
    while True:
        request = pickle.loads(inbox.get())
        message = _answered(
            request, models, lambda *said: _send(answers, pickle.dumps(("progress", said)))
        )
        if os.getpid() != owner:  # both have come back from a fork: one answer is enough
            os._exit(0)
        _send(answers, message)


def _private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return stdin and stdout for ourselves; a model's stdin is empty, and it prints to stderr."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    stdout: Any = sys.stdout
    stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    return requests, answers


def _say(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # somebody's code has closed stderr
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _fetch(requests: IO[bytes], inbox: "Queue[bytes]") -> None:
    """Pass requests on, and end this process and its children with the one that asks."""
    for message in _received(requests):
        inbox.put(message)
    if os.name == "posix":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


def _answered(request: Any, models: "list[CountedModel]", progress: Progress) -> bytes:
    """Return the answer to a request, or why there is none."""
    from dscost.foreign.containing import contained

    kind, subject, given = request
    raised: DscostError
    try:
        with contained(subject if kind in ("count", "ratio") else "the model"):
            return pickle.dumps(("answer", _answer(kind, subject, given, models, progress)))
    except DscostError as error:
        raised = error
    except KeyboardInterrupt:  # no terminal reaches this process
        raised = InputError(f"{subject}: its code raised KeyboardInterrupt")
    except pickle.PicklingError:  # of a type that is no more the one that it was
        raised = InputError(f"{subject}: its code has replaced modules of dscost")
    except Exception as error:  # noqa: BLE001 - told as a bug where it can be told
        return pickle.dumps(("bug", errors.first_line(error)))
    # as text: their code may have done to our types what no pickle survives
    content = (raised.path, raised.problems) if isinstance(raised, FileProblems) else None
    return pickle.dumps(("error", (type(raised).__name__, str(raised), content)))


def _answer(
    kind: str, subject: Any, given: Any, models: "list[CountedModel]", progress: Progress
) -> Answer:
    from dscost.analysis import count, measure_model

    if kind == "count":
        if "torch" not in sys.modules:
            progress(None, "importing torch")
        before = _state()
        model = count(subject, progress=progress, **given)
        models.append(model)
        is_spoilt = before != _state()
        return Answer(model.report, len(models) - 1, _swaps_of(model), model.saved, is_spoilt)
    if kind == "ratio":
        from dscost.analysis.ratio_timing import time_ratio

        before = _state()
        side, other, options = given
        ratio = time_ratio(side, other, options, progress)
        return Answer(None, is_spoilt=before != _state(), ratio=ratio)
    model = models[subject]
    if kind == "measure":
        return Answer(measure_model(model, given, progress))
    assert model.versions is not None
    from dscost.analysis.by_convention import totals_with_swaps

    swaps = [model.swaps[place] for place in given]
    report = model.report._replace(totals=model.versions.totals(swaps))
    return Answer(report._replace(by_convention=totals_with_swaps(model, swaps)))


def _swaps_of(model: "CountedModel") -> tuple[Swap, ...] | None:
    if model.versions is None:
        return None
    layers = map(model.versions.layer_of, model.swaps)
    return tuple(Swap(place, *layer) for place, layer in enumerate(layers))


def _state() -> tuple[Any, ...]:
    """Return what a model must not change, lest the next one be counted differently."""
    import torch

    try:
        here = str(Path.cwd())
    except OSError:  # the folder is gone
        here = ""
    alarm = hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL)[0] > 0
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    autocast = torch.is_autocast_enabled("cpu")
    return here, alarm, torch.get_default_dtype(), str(torch.empty(0).device), *modes, autocast
