"""What is worked out in a thread of its own while somebody is busy with what came before."""

from collections.abc import Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

_DONE = object()
_POLL_S = 0.1
"""How long one side waits before it looks whether the other is still there."""


def ahead(items: Iterable[T], most: int = 2) -> Generator[T, None, None]:
    """Yield items that are found meanwhile, so many ahead at most.

    What they raise is raised here. Whoever has had enough closes it: nothing goes on then.

    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    found: Queue[object] = Queue(most)
    is_over = Event()
    raised: list[BaseException] = []

    def put(item: object) -> None:
        while not is_over.is_set():
            try:
                found.put(item, timeout=_POLL_S)
            except Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if is_over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001
            raised.append(error)  # whatever it is, it is raised where it is waited for
        put(_DONE)

    worker = Thread(target=work, name="counting ahead", daemon=True)
    worker.start()
    try:
        while (item := found.get()) is not _DONE:
            yield item  # type: ignore[misc]
    finally:
        is_over.set()
        worker.join()
    if raised:
        raise raised[0]
