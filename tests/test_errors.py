import copy
import pickle
from collections.abc import Callable

import pytest

from dscost.errors import (
    DscostError,
    FileProblems,
    InputError,
    NoFileError,
    OutputError,
    Problem,
    SpecError,
    UnavailableError,
    UnknownArgumentError,
    UnknownNameError,
    did_you_mean,
    some_of,
)


@pytest.mark.parametrize(
    ("error", "parent"),
    [(InputError, DscostError), (SpecError, InputError), (UnknownNameError, InputError), (FileProblems, InputError),
     (OutputError, DscostError), (UnavailableError, DscostError), (DscostError, Exception)],
)  # fmt: skip
def test_the_tree_is_as_drawn(error: type[Exception], parent: type[Exception]) -> None:
    assert error.__base__ is parent


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("format", "jsn", ["json", "csv"], ", in a file"),
        UnknownArgumentError("argument", "strides", ["stride"]),
        FileProblems("net.yaml", [Problem(3, 1, "unknown key 'x'"), Problem(1, 2, "no input")]),
        NoFileError("cannot read net.yaml"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("sent", [lambda error: pickle.loads(pickle.dumps(error)), copy.deepcopy])
def test_an_error_comes_out_of_another_process_as_it_went(
    error: DscostError, sent: Callable[[DscostError], DscostError]
) -> None:
    arrived = sent(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(
            "markdwon", "unknown format 'markdwon' (did you mean 'markdown'?)", id="nearest"
        ),
        pytest.param(
            "MARKDOWN", "unknown format 'MARKDOWN' (did you mean 'markdown'?)", id="other case"
        ),
        pytest.param(
            "xyz", "unknown format 'xyz' (known: table, json, markdown)", id="nothing near"
        ),
        pytest.param("", "unknown format '' (known: table, json, markdown)", id="empty"),
    ],
)
def test_an_unknown_name_is_answered_with_what_is_known(name: str, text: str) -> None:
    error = UnknownNameError("format", name, iter(["table", "json", "markdown"]))
    assert str(error) == text
    assert (error.kind, error.name, error.known) == ("format", name, ("table", "json", "markdown"))


@pytest.mark.parametrize(
    ("name", "known", "answer"),
    [
        pytest.param(
            "resnet81", ["resnet18", "vgg16"], " (did you mean 'resnet18'?)", id="swapped digits"
        ),
        pytest.param(
            "levl", ["level", "limit"], " (did you mean 'level'?)", id="the design's example"
        ),
        pytest.param("relu", ["ReLU"], " (did you mean 'ReLU'?)", id="the known spelling is shown"),
        pytest.param("table", [], "", id="nothing known"),
        pytest.param("zzz", ["table"], "", id="too far"),
    ],
)
def test_the_nearest_spelling_is_found(name: str, known: list[str], answer: str) -> None:
    assert did_you_mean(name, known) == answer


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b, c"),
        ("abcd", "a, b and 2 more"),
    ],
)
def test_a_long_list_of_names_is_cut(names: list[str], text: str) -> None:
    assert some_of(iter(names), at_most=2) == text


def test_problems_of_a_file_stand_in_its_order_and_once_each() -> None:
    problems = [Problem(9, 1, "c"), Problem(2, 7, "b"), Problem(2, 3, "a"), Problem(9, 1, "c")]
    error = FileProblems("net.yaml", problems)
    assert str(error) == "net.yaml:2:3: a\nnet.yaml:2:7: b\nnet.yaml:9:1: c"
    assert error.path == "net.yaml"
    assert error.problems == (Problem(2, 3, "a"), Problem(2, 7, "b"), Problem(9, 1, "c"))
