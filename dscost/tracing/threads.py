"""A recorder that sees what modules do in threads of the model's own, too."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from threading import RLock, Thread, get_ident
from typing import Any, cast

from dscost.foreign.dispatch import Args
from dscost.tracing.module_stack import RunningModules
from dscost.tracing.recorder import Recorder


class FollowingRecorder(Recorder):  # type: ignore[no-untyped-call]
    """Takes operators from several threads, one at a time; each has running modules of its own."""

    _main_stack: Sequence[str]

    def __torch_dispatch__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        with self._turn:
            return super().__torch_dispatch__(func, types, args, kwargs)

    @property
    def stack(self) -> Sequence[str]:
        """Paths of the modules that are running in this thread."""
        return self._stacks.get(get_ident(), self._main_stack)

    @stack.setter
    def stack(self, stack: Sequence[str]) -> None:
        self._main_stack = stack
        self._stacks: dict[int, list[str]] = {}
        self._turn = RLock()

    def follow_in(
        self, modules: RunningModules, state: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        """See what another thread does while a module runs in it, in torch's state of this one."""

        @contextmanager
        def follow(path: str) -> Iterator[list[str]]:
            here = get_ident()
            if here in self._stacks:  # a module inside one that is followed already
                yield self._stacks[here]
                return
            # not what else runs in the main thread meanwhile
            main = self._main_stack
            around = [one for one in main if not one or f"{path}.".startswith(f"{one}.")]
            self._stacks[here] = around
            try:
                with state(), self:
                    yield around
            finally:
                del self._stacks[here]

        modules.follow = follow


@contextmanager
def watched_threads(seen: Callable[[], None]) -> Iterator[None]:
    """Be told when this thread starts another one, or gives something to a pool."""
    here, thread, pool = get_ident(), cast("Any", Thread), cast("Any", ThreadPoolExecutor)
    start, submit = thread.start, pool.submit

    def watched_start(self: Any) -> None:
        if get_ident() == here:
            seen()
        start(self)

    def watched_submit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if get_ident() == here:
            seen()
        return submit(self, *args, **kwargs)

    thread.start, pool.submit = watched_start, watched_submit
    try:
        yield
    finally:
        thread.start, pool.submit = start, submit
