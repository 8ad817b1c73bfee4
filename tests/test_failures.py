"""Whose code an error comes from, by the package of that code, and what the errors before it tell."""

from collections.abc import Callable
from typing import Any

import pytest

from dscost.errors import InputError
from dscost.foreign.failures import (
    Whose,
    chain_of,
    is_interrupt,
    is_raised_by_hand,
    may_want_values,
    module_of,
    must_pass,
    place_of,
    whose,
)


def code_of(module: str | None, file: str, text: str) -> Callable[[], Any]:
    """Return the function `run` of some code, as a module of that name in that file would have it."""
    held: dict[str, Any] = {} if module is None else {"__name__": module}
    exec(compile(text, file, "exec"), held)
    function: Callable[[], Any] = held["run"]
    return function


def raised_by(run: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
        run()
    return caught.value


FAILS = "def run(): raise ValueError('no')"


@pytest.mark.parametrize(
    ("module", "file", "is_foreign"),
    [
        ("net", "/home/me/net.py", True),
        ("net", "/home/me/torch/net.py", True),  # a project of that name
        ("dscost_target_1", "/home/me/torch/dscost/net.py", True),
        ("torchvision.ops", "/opt/torch/lib/site-packages/torchvision/ops/__init__.py", True),
        (None, "<eval_with_key>.0", True),  # what torch.fx makes of a graph
        ("torch.nn.functional", "/opt/lib/site-packages/torch/nn/functional.py", False),
        ("torch", "/opt/pytorch/src/__init__.py", False),  # installed to be edited
        ("dscost.tracing", "/opt/elsewhere/tracing/__init__.py", False),
        ("importlib._bootstrap", "<frozen importlib._bootstrap>", False),
    ],
)
def test_whose_code_it_is_is_told_by_its_package(
    module: str | None, file: str, is_foreign: bool
) -> None:
    error = raised_by(code_of(module, file, FAILS))
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # not what is here
    place = place_of(error)
    assert (place is not None) is is_foreign
    assert module_of(error) == (module or "")
    if place is not None:
        assert (place.file, place.line) == (file.rpartition("/")[2], 1)


CALLS = "def run(): return call()"


@pytest.mark.parametrize(
    ("modules", "text", "expected"),
    [
        # the code that runs, outermost first; the last one raises what the text says
        (("dscost.tracing", "net"), "raise AttributeError('no')", Whose.THEIRS),
        (("dscost.tracing", "net", "torch.nn", "json"), "raise ValueError('no')", Whose.THEIRS),
        (("dscost.tracing", "net", "dscost.tracing"), "return None.shape", Whose.OURS),
        (("dscost.tracing", "net", "dscost.tracing"), "return {}['mm']", Whose.OURS),
        (("net", "torch.nn", "dscost.tracing"), "return unheard_of", Whose.OURS),
        (("net", "torch.nn", "dscost.tracing"), "assert False", Whose.OURS),
        # a short cut says what torch would, and a call of ours may not fit foreign code
        (("net", "dscost.tracing"), "raise RuntimeError('shapes do not fit')", Whose.TORCHS),
        (("net", "dscost.tracing"), "return int.bit_count()", Whose.TORCHS),
        (("dscost.tracing", "torch.nn"), "return None.shape", Whose.TORCHS),
        # what is not even an Exception was never raised by us
        (("dscost.tracing",), "raise SystemExit(3)", Whose.THEIRS),
        (("net",), "raise KeyboardInterrupt", Whose.THEIRS),
    ],
)
def test_an_error_is_theirs_ours_or_torchs_by_the_code_that_it_came_through(
    modules: tuple[str, ...], text: str, expected: Whose
) -> None:
    run = code_of(modules[-1], "last.py", f"def run():\n    {text}")
    for module in reversed(modules[:-1]):
        inner, run = run, code_of(module, "outer.py", CALLS)
        run.__globals__["call"] = inner
    error = raised_by(run)
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # not what is here
    assert whose(error) is expected
    assert must_pass(error) is (expected is Whose.OURS)


def test_what_dscost_says_on_purpose_is_theirs_and_a_real_interrupt_is_the_users() -> None:
    assert whose(InputError("no such model")) is Whose.THEIRS
    assert whose(KeyboardInterrupt()) is Whose.USERS
    assert must_pass(KeyboardInterrupt())


def test_an_error_of_torch_may_want_values_and_one_of_a_folder_called_torch_does_not() -> None:
    assert may_want_values(raised_by(code_of("torch.nn", "/opt/lib/nn.py", FAILS)))
    assert not may_want_values(raised_by(code_of("net", "/home/me/torch/net.py", FAILS)))


def test_only_what_other_people_raise_is_raised_by_hand() -> None:
    text = "def run(): raise KeyboardInterrupt"
    theirs, ours = (
        raised_by(code_of(name, "/home/me/x.py", text)) for name in ("net", "dscost.cli.signals")
    )
    assert is_raised_by_hand(theirs)
    assert not is_interrupt(theirs)
    assert is_interrupt(ours)


def test_errors_that_were_raised_from_each_other_are_told_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert list(chain_of(first)) == [first, second]
    itself = ValueError("itself")
    itself.__cause__ = itself
    assert list(chain_of(itself)) == [itself]
    assert not may_want_values(itself)


def test_what_was_handled_meanwhile_is_told_where_nothing_is_said_to_be_the_cause() -> None:
    inner, outer = ValueError("tensor on meta device has no data"), KeyError("lost")
    outer.__context__ = inner
    assert list(chain_of(outer)) == [outer, inner]
    assert may_want_values(outer)
