from collections.abc import Callable
from types import SimpleNamespace

import pytest

from dscost.errors import UnknownNameError
from dscost.registries import Registry


class Installed:
    """Entry points as other packages declare them, and how often they were looked for."""

    def __init__(self) -> None:
        self.points: dict[str, object] = {}
        self.groups_read: list[str] = []

    def entry_points(self, *, group: str) -> list[SimpleNamespace]:
        self.groups_read.append(group)
        return [
            SimpleNamespace(name=name, load=self.loading(value))
            for name, value in self.points.items()
        ]

    @staticmethod
    def loading(value: object) -> Callable[[], object]:
        return lambda: value


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    everything = Installed()
    monkeypatch.setattr("importlib.metadata.entry_points", everything.entry_points)
    return everything


@pytest.fixture
def shapes(installed: Installed) -> Registry[int]:
    registry: Registry[int] = Registry("shape", "shapes")
    registry.register("square")(4)
    registry.register("triangle")(3)
    return registry


def test_registering_returns_the_entry_itself(shapes: Registry[int]) -> None:
    assert shapes.register("line")(2) == 2
    assert shapes["line"] == 2


def test_an_entry_registered_later_replaces_one_of_the_same_name(shapes: Registry[int]) -> None:
    shapes.register("square")(44)
    assert shapes["square"] == 44
    assert list(shapes) == ["square", "triangle"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("sqare", "unknown shape 'sqare' (did you mean 'square'?)", id="nearest"),
        pytest.param(
            "zzz",
            "unknown shape 'zzz' (known: square, triangle, circle)",
            id="all, installed ones too",
        ),
        pytest.param(
            "cirle",
            "unknown shape 'cirle' (did you mean 'circle'?)",
            id="nearest of the installed ones",
        ),
    ],
)
def test_an_unknown_name_is_answered_with_what_is_known(
    shapes: Registry[int], installed: Installed, name: str, text: str
) -> None:
    installed.points["circle"] = 1
    with pytest.raises(UnknownNameError) as caught:
        shapes[name]
    assert str(caught.value) == text


def test_the_environment_is_not_searched_for_what_is_known(
    shapes: Registry[int], installed: Installed
) -> None:
    assert shapes["square"] == 4
    assert installed.groups_read == []


def test_the_environment_is_searched_once_under_the_name_of_the_registry(
    shapes: Registry[int], installed: Installed
) -> None:
    installed.points["circle"] = 1
    assert shapes["circle"] == 1
    assert list(shapes) == ["square", "triangle", "circle"]
    with pytest.raises(UnknownNameError):
        shapes["line"]
    assert installed.groups_read == ["dscost.shapes"]


def test_an_entry_point_does_not_replace_what_is_registered(
    shapes: Registry[int], installed: Installed
) -> None:
    installed.points["square"] = -1
    assert list(shapes) == ["square", "triangle"]
    assert shapes["square"] == 4


def test_entries_can_be_registered_after_the_search(
    shapes: Registry[int], installed: Installed
) -> None:
    installed.points["circle"] = 1
    assert "circle" in list(shapes)
    shapes.register("line")(2)
    shapes.register("circle")(11)
    assert list(shapes) == ["square", "triangle", "line", "circle"]
    assert (shapes["line"], shapes["circle"]) == (2, 11)


def test_entries_may_be_registered_while_the_names_are_walked(shapes: Registry[int]) -> None:
    for name in shapes:
        shapes.register(f"{name} again")(0)
    assert len(list(shapes)) == 4


def test_two_registries_do_not_share_entries(shapes: Registry[int]) -> None:
    other: Registry[int] = Registry("shape", "shapes")
    assert list(other) == []
