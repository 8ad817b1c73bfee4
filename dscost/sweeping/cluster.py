"""A Dask cluster as a sweep sees it: who offers to time, calls sent to one of them, what came back.

A call goes to one worker and to no other: what is to be done where that worker went away, whoever
sends decides. `distributed` is imported by `connected` alone.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from socket import create_connection
from threading import Thread
from typing import Any, NamedTuple
from uuid import uuid4

from dscost.errors import InputError, UnavailableError, needing
from dscost.files import reason_of
from dscost.foreign.logs import quietly

TIMER = "timer"
"""What a worker offers that is there to time, of Dask's resources: one case takes all of it."""
CONNECT_S = 8.0
"""A scheduler that is there answers sooner."""
FETCH_S = 10.0
"""What a worker returned is fetched sooner, or the worker is gone."""
FETCH_STEP_S = 0.5
SCHEMES = ("tcp", "tls", "ws", "wss")
SPEAKERS = ("distributed", "tornado", "asyncio")
"""What Dask logs of itself, what matters a sweep tells in its own words."""


def worker_command(scheduler: str) -> str:
    """Return how a worker is started that a sweep times on."""
    return f"dask worker {scheduler} --nthreads 1 --resources {TIMER}=1"


class Answer(NamedTuple):
    """What came of a call; of one that was lost, neither a value nor an error."""

    call: str
    value: Any = None
    error: BaseException | None = None


class _Call:
    """A call that is made where it is read: neither the scheduler nor Dask need know dscost."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


class Cluster:
    """The workers of a scheduler, and the calls that are on their way.

    Args:
        client: Is connected to the scheduler.
        scheduler: Its address.
    """

    def __init__(self, client: Any, scheduler: str) -> None:
        self.scheduler = scheduler
        self._client = client
        self._name = f"dscost-{uuid4().hex[:8]}"
        self._sent: dict[str, Any] = {}
        self._done: SimpleQueue[str] = SimpleQueue()
        self._number = 0

    @property
    def is_gone(self) -> bool:
        """Whether the scheduler went away, and did not come back in `CONNECT_S`."""
        return self._client.status not in ("running", "connecting")

    def workers(self) -> Mapping[str, bool] | None:
        """Return the addresses of the workers, and whether each offers to time.

        `None` where the scheduler does not answer.
        """
        client = self._client
        try:
            told = client.sync(client.scheduler.identity, callback_timeout=FETCH_S)["workers"]
        except (OSError, TimeoutError, RuntimeError):  # of the last kind: its client is closed
            return None
        return {
            address: each["resources"].get(TIMER, 0) >= 1
            for address, each in told.items()
            if each.get("status", "running") in ("running", "paused")
        }

    def send(self, worker: str, function: Callable[..., Any], *arguments: Any) -> str:
        """Send a call to a worker, behind those that it has; return the name of the call."""
        self._number += 1
        call = f"{self._name}-{self._number}"
        future = self._client.submit(
            pickle.loads,
            pickle.dumps(_Call(function, arguments)),
            key=call,
            workers=[worker],
            allow_other_workers=False,
            resources={TIMER: 1},
            retries=0,
            priority=-self._number,
            pure=False,
        )
        self._sent[call] = future
        future.add_done_callback(lambda _: self._done.put(call))
        return call

    def answer(self, wait_s: float) -> Answer | None:
        """Return what came of a call, or `None` where nothing comes in some seconds."""
        try:
            call = self._done.get(timeout=wait_s)
        except Empty:
            return None
        future = self._sent.pop(call, None)
        if future is None:
            return None
        dask = import_module("distributed")
        try:
            if future.status == "error":
                error = future.exception(timeout=FETCH_S)
                return Answer(
                    call, error=None if isinstance(error, dask.scheduler.KilledWorker) else error
                )
            return Answer(call, self._fetched(future))
        except (dask.CancelledError, TimeoutError, OSError):
            return Answer(call)
        finally:
            future.release()

    def _fetched(self, future: Any) -> Any:
        """Return what a worker returned, which that alone has until now.

        Raises:
            TimeoutError: The worker is gone, and that with it.
        """
        for _ in range(int(FETCH_S / FETCH_STEP_S)):
            with suppress(TimeoutError):
                return future.result(timeout=FETCH_STEP_S)
            if future.status != "finished":
                break
        raise TimeoutError

    def forget(self, call: str) -> None:
        """Take back a call: where it has not begun, it will not."""
        future = self._sent.pop(call, None)
        if future is not None:
            future.release()

    def forget_all(self) -> None:
        """Take back every call."""
        for call in list(self._sent):
            self.forget(call)


@contextmanager
def connected(scheduler: str) -> Iterator[Cluster]:
    """Connect to a scheduler; at the end take back what was sent and is not done.

    Raises:
        InputError: It is no address.
        UnavailableError: No scheduler answers there, or distributed is not installed.
    """
    with needing("distributed", "distributed", before="--scheduler: "):
        dask = import_module("distributed")
    _require_listener(scheduler)
    with quietly(SPEAKERS):
        client = _client_of(dask, scheduler)
        cluster = Cluster(client, scheduler)
        try:
            yield cluster
        finally:
            with suppress(OSError, TimeoutError):
                cluster.forget_all()
                client.close(timeout=CONNECT_S)


def _require_listener(scheduler: str) -> None:
    """Look whether anybody listens at an address: Dask tries on for long where nobody does.

    Raises:
        InputError: It is no address.
        UnavailableError: Nobody does.
    """
    scheme, _, place = scheduler.partition("://")
    host, _, port = place.rpartition(":")
    if scheme not in SCHEMES or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InputError(f"--scheduler {scheduler}: no address such as tcp://192.168.0.10:8786")
    try:
        create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise _unanswered(scheduler, reason_of(error)) from error


def _client_of(dask: Any, scheduler: str) -> Any:
    """Return Dask's client, made by a thread: Dask waits for ever for what takes and says nothing.

    Raises:
        InputError: Dask takes no such address.
        UnavailableError: What listens there is no scheduler.
    """
    client = dask.Client.__new__(dask.Client)
    ended: SimpleQueue[Exception | None] = SimpleQueue()

    def connect() -> None:
        try:
            client.__init__(scheduler, timeout=CONNECT_S, set_as_default=False, name="dscost")
        # Dask reads what is none of its own as sizes and more, and may fail in any way
        except Exception as error:  # noqa: BLE001
            ended.put(error)
        else:
            ended.put(None)

    Thread(target=connect, name="dscost connecting", daemon=True).start()
    try:
        error = ended.get(timeout=CONNECT_S)
    except Empty:
        error = TimeoutError()
    if error is None:
        return client
    client.status = "closed"  # else its end waits for what never began
    if isinstance(error, TypeError | ValueError):  # the former of TLS without a certificate
        raise InputError(f"--scheduler {scheduler}: {error}") from error
    is_silent = isinstance(error, TimeoutError)
    why = "what listens there says nothing" if is_silent else "something else listens there"
    raise _unanswered(scheduler, why) from error


def _unanswered(scheduler: str, why: str) -> UnavailableError:
    return UnavailableError(
        f"--scheduler {scheduler}: no Dask scheduler answers there ({why}); "
        "'dask scheduler' starts one and says its address"
    )
