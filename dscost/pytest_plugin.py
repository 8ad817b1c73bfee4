"""Budgets as tests: `pytest --dscost`, and the fixture `cost`.

Nothing else of dscost is imported before one of the two is used.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from dscost.budgets.findings import CheckResult, Finding
    from dscost.budgets.records import Budget, Entry, Limit
    from dscost.reports.figures import Cost

NEAREST = "the nearest dscost.yaml"


class BudgetWarning(UserWarning):
    """What a budget warns of."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--dscost`."""
    parser.getgroup("dscost", "what models may cost").addoption(
        "--dscost",
        metavar="BUDGET",
        nargs="?",
        const=NEAREST,
        action="append",
        help="Collect a budget as tests: this one, or the nearest dscost.yaml "
        "up to the repository's root; repeatable.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Find the budget."""
    given: Sequence[str] = config.getoption("--dscost") or ()
    config.stash[_PATHS] = tuple(
        dict.fromkeys(_budget(one, config.invocation_params.dir) for one in given)
    )
    config.stash[_COLLECTED] = set()


def _budget(given: str, folder: Path) -> Path:
    from dscost.budgets.checking import find_budget
    from dscost.errors import InputError

    if given != NEAREST and not (folder / given).is_file():
        raise pytest.UsageError(
            f"--dscost: there is no budget '{given}'; "
            "write --dscost=FILE, or put --dscost behind the tests to run"
        )
    try:
        return find_budget(None if given == NEAREST else folder / given, folder).resolve()
    except InputError as error:
        raise pytest.UsageError(f"--dscost: {error}") from error


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "BudgetFile | None":
    """Collect a budget where pytest comes across it."""
    if file_path not in parent.config.stash.get(_PATHS, ()):
        return None
    return BudgetFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Collect the budgets that pytest did not come across."""
    for path in config.stash.get(_PATHS, ()):
        if path not in config.stash[_COLLECTED]:
            items.extend(session.genitems(BudgetFile.from_parent(session, path=path)))


@pytest.fixture(scope="session")
def cost() -> "Callable[..., Cost]":
    """What a model costs on paper: `cost("resnet18").macs`, with arguments as `dscost.analyze`."""

    def cost_of(target: Any, **options: Any) -> "Cost":
        from dscost.analysis import analyze

        return analyze(target, **options).totals.as_is

    return cost_of


_PATHS = pytest.StashKey[tuple[Path, ...]]()
_COLLECTED = pytest.StashKey[set[Path]]()

Places = frozenset[tuple[int, int]]
"""Lines and columns of the budget."""


class BudgetFile(pytest.File):
    """A budget: a test per entry as a whole, and one per limit and rule of it."""

    def collect(self) -> Iterator["_BudgetTest"]:
        """Return the tests; nothing is counted yet."""
        from dscost.budgets.reading import read_budget
        from dscost.errors import InputError

        self.config.stash[_COLLECTED].add(self.path)
        try:
            budget = read_budget(self.path)
        except InputError as error:
            raise self.CollectError(str(error)) from error
        for entry in budget.entries:
            yield from self._tests_of(entry)
        if budget.baseline is not None:
            yield BaselineTest.from_parent(self, name="baseline", budget=budget)

    def _tests_of(self, entry: "Entry") -> Iterator["EntryTest"]:
        counted = CountedOnce(self.path, entry)
        limits = [one for one in entry.limits if one.level != "ignore"]
        judged: list[tuple[str, str, Places, Limit | None]] = []
        for one in limits:
            judged.append((f"{one.metric}-{one.bound}", "", frozenset({one.place}), one))
        for rule in entry.layers:
            places = frozenset({rule.place, *(one.place for one in rule.limits)})
            judged.append(("layers", f" {rule.selector.text}", places, None))
        own = frozenset[tuple[int, int]]().union(*(places for _, _, places, _ in judged))
        yield self._test("counted", entry.name, counted=counted, places=own, is_rest=True)
        for name, more, places, limit in judged:
            yield self._test(name, entry.name + more, counted=counted, places=places, limit=limit)

    def _test(self, name: str, parameter: str, **given: Any) -> "EntryTest":
        """Return a test that is called like a parametrized one, so that its name can choose it."""
        full = f"{name}[{parameter}]"
        return EntryTest.from_parent(self, name=full, nodeid=f"{self.nodeid}::{full}", **given)


class CountedOnce:
    """What the budget says of an entry, found out when it is first asked for."""

    def __init__(self, path: Path, entry: "Entry") -> None:
        self.path, self.entry = path, entry

    @cached_property
    def result(self) -> "CheckResult":
        """What the budget says of the entry."""
        from dscost.budgets.checking import check

        return check(self.path, only=(self.entry.name,))

    def findings(self) -> "Sequence[Finding]":
        """Return what the user must know."""
        return [one for one in self.result.findings if one.entry == self.entry.name]

    def holds(self, limit: "Limit") -> bool:
        """Whether a limit was judged, and holds."""
        passed = [(one.metric, one.bound, one.layer) for one in self.result.passed]
        return (limit.metric, limit.bound, None) in passed


class _BudgetTest(pytest.Item):
    """A test that fails with the sentences of findings."""

    entry: "Entry | None" = None
    """What they are about."""

    def tell(self, findings: "Sequence[Finding]") -> None:
        """Fail with the findings that are errors, and warn of the others."""
        said: dict[str, list[str]] = {}
        for one in findings:
            said.setdefault(one.level, []).append(self.sentence(one))
        for note in said.get("note", ()):
            self.add_report_section("call", "dscost", note)
        if "error" in said:
            fail([*said["error"], *said.get("warn", ())])
        raised = []  # where warnings are errors
        for warning in said.get("warn", ()):
            try:
                self.warn(BudgetWarning(warning))
            except BudgetWarning as error:
                raised.append(str(error))
        if raised:
            fail(raised)

    def repr_failure(
        self, excinfo: "pytest.ExceptionInfo[BaseException]", style: Any = None
    ) -> Any:
        """Return what a budget says as it is: its first line is what a summary has room for."""
        if isinstance(excinfo.value, pytest.fail.Exception):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def sentence(self, finding: "Finding") -> str:
        """Return what a finding says: in a few words where it can, exactly, why, and where."""
        from dscost.pages.finding_words import finding_sentence, reasons
        from dscost.pages.overruns import headline

        lines = [f"{finding.entry}: {finding_sentence(finding)}", *reasons(finding)]
        if finding.bound is not None and self.entry is not None:
            lines.insert(0, headline(finding, self.entry))
        lines.append(f"{self.path.name}:{finding.line}:{finding.column}")
        return "\n  ".join(lines)


def fail(sentences: Sequence[str]) -> NoReturn:
    """Fail with these sentences alone."""
    pytest.fail("\n".join(sentences), pytrace=False)


class EntryTest(_BudgetTest):
    """One limit or rule of an entry, or all that is about neither."""

    def __init__(
        self,
        *,
        counted: CountedOnce,
        places: Places,
        limit: "Limit | None" = None,
        is_rest: bool = False,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self._counted, self._places, self._limit, self._is_rest = counted, places, limit, is_rest
        self.entry = counted.entry

    def setup(self) -> None:
        """Count the model; one that cannot be judged is an error once, and skips its limits."""
        from dscost.errors import InputError

        try:
            found = self._counted.findings()
        except InputError as error:
            fail([str(error)])
        if not self._is_rest and any(one.kind == "unloadable_model" for one in found):
            pytest.skip(f"{self._counted.entry.name} could not be counted")
        failed = [self.sentence(one) for one in self._own() if one.level == "fail"]
        if failed:
            fail(failed)

    def runtest(self) -> None:
        """Say what the budget says."""
        found = self._own()
        if not found and self._limit is not None and not self._counted.holds(self._limit):
            pytest.skip("not judged: the baseline has nothing to compare with")
        self.tell(found)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the limit stands, counted from 0."""
        line = self._counted.entry.place[0] if self._is_rest else min(self._places)[0]
        return self.path, line - 1, self.name

    def _own(self) -> "list[Finding]":
        found = self._counted.findings()
        places, is_rest = self._places, self._is_rest
        return [one for one in found if ((one.line, one.column) in places) is not is_rest]


class BaselineTest(_BudgetTest):
    """What the budget says of its baseline, beyond the entries."""

    def __init__(self, *, budget: "Budget", **given: Any) -> None:
        super().__init__(**given)
        self._budget = budget

    def runtest(self) -> None:
        """Say what the budget says."""
        from dscost.budgets.baseline import read_baseline
        from dscost.budgets.judging import judge
        from dscost.errors import InputError

        assert self._budget.baseline is not None
        try:
            self.tell(judge(self._budget, (), read_baseline(self._budget.baseline)).findings)
        except InputError as error:
            fail([str(error)])

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the beginning of the file."""
        return self.path, 0, self.name
