import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Set
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import pytest
from hypothesis import settings

# the same examples everywhere, however slow the machine
settings.register_profile("alike", derandomize=True, database=None, deadline=None)
settings.load_profile("alike")

# Ctrl-C reaches what is started from here, also where the tests themselves run in the background.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As many threads as there are cores, in each of two workers and of what they start, are in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A program that may not keep its bytecode compiles all of dscost at each of its starts.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What pytest, rich, git and dscost read from the environment; here, as in the programs started from here, tests set it.
OUTSIDE = (
    "CI",
    "BUILD_NUMBER",
    "FORCE_COLOR",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "TERM",
    "COLUMNS",
    "LINES",
)
PREFIXES = ("GIT_", "GITHUB_", "GITLAB_", "CI_", "DSCOST_", "PYTEST_ADDOPTS", "PY_COLORS", "TTY_")
for name in [name for name in os.environ if name in OUTSIDE or name.startswith(PREFIXES)]:
    del os.environ[name]


_there_before: set[threading.Thread] = set()


def pytest_runtest_setup() -> None:
    _there_before.clear()
    _there_before.update(threading.enumerate())


def _threads() -> int:
    """Count the threads of a test: those of the worker and of a test before it are not its model's."""
    own = (one for one in threading.enumerate() if not isinstance(one, threading._DummyThread))
    return 1 + len(set(own) - _there_before)


threading.active_count = _threads

QUICK = frozenset(
    """
    arithmetic axes axes_of_sweeps building ceilings choosing colour counters decomposing devices errors explaining
    expressions failures figures files formulas graph_books graph_bounds graph_constants graph_forms
    graph_functions graph_origins graph_pairs graph_positions graph_reading graph_rules
    graph_sequences graph_weights in_file inputs layer_expectations layer_variants literals machine
    narrow_tables network_specs operations operators options packed pairs_in_words places plans
    printable published_numbers quantities quoted_figures readme registries rendering roofline rules runs_in_words
    scoring_losses selectors sparse
    specs speedups_in_words statistics strict_json swaps sweep_answers sweep_order sweep_pages timing_sheets
    """.split()
)
"""Files of tests that are quick, each a second or less: `pytest -m quick`."""


TORCH_FREE = frozenset(
    """
    axes axes_of_sweeps baseline budget_language calibration_inputs check choosing code_files ci_formats counters devices errors explaining
    expressions failures files forms formulas graph_binding graph_books graph_bounds
    graph_commands graph_constants graph_control graph_converting graph_exporting graph_forms
    graph_functions graph_fuzzing graph_light graph_origins graph_pairs graph_positions
    graph_quantized graph_reading graph_rules graph_sequences graph_shapes graph_timing graph_verifying
    graph_versions graph_weights graph_words graph_writing graphs house inputs journals judging knapsack
    language
    literals marked_yaml operations places printable published_numbers quantities quoted_figures recovering_graphs
    registries rendering roofline runtimes scoring_calling scoring_graphs scoring_journal scoring_losses
    scoring_search selectors shapes statistics strict_json swaps sweep_answers sweep_order sweep_pages variants
    """.split()
)
"""Files of tests that need no torch, but for those of their tests that are marked `torch`: what `pytest tests` runs where
there is none (tests/test_without_torch.py)."""

GRAPH = (
    *("graph", "runtimes", "recovering_graphs", "calibration_inputs"),
    *("scoring_calling", "scoring_graphs", "scoring_search"),
)
"""What the names of those begin with that need onnx, or the numpy that comes with it, if they need no torch."""

HAS_TORCH = find_spec("torch") is not None
HAS_ONNX = find_spec("onnx") is not None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that have no quick test where only those are wanted: to import them takes longer.

    Where there is no torch, or no onnx, leave out those that need it.
    """
    if collection_path.suffix != ".py":
        return None
    is_unwanted = config.option.markexpr == "quick" and not _is_in(QUICK, collection_path)
    needs_torch = not HAS_TORCH and not _is_in(TORCH_FREE, collection_path)
    name = collection_path.stem.removeprefix("test_")
    needs_onnx = not HAS_ONNX and name.startswith(GRAPH)
    return True if is_unwanted or needs_torch or needs_onnx else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if _is_in(QUICK, item.path):
            item.add_marker(pytest.mark.quick)
    if not HAS_TORCH:
        without = [item for item in items if item.get_closest_marker("torch") is None]
        config.hook.pytest_deselected(items=[item for item in items if item not in without])
        items[:] = without


def _is_in(names: Set[str], path: Path) -> bool:
    return path.parent == Path(__file__).parent and path.stem.removeprefix("test_") in names


def pytest_collection_finish() -> None:
    """What is there when the tests begin stays; nobody need look through it for garbage."""
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Take away the models of a file: whoever imports `dscost.cli` has switched the collector off.

    What is left, of torch above all, stays: nobody need look through it again.
    """
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture
def own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let seconds of measuring be those of this process: a machine that is busy takes none of a budget."""
    from dscost.analysis import bench, choice_timing, running, swap_timing, whole_timing
    from dscost.timing import engine

    monkeypatch.setitem(engine.compare.__kwdefaults__, "clock", process_time)
    for module in (bench, choice_timing, running, swap_timing, whole_timing):
        monkeypatch.setattr(module, "perf_counter", process_time)


@pytest.fixture(autouse=True)
def faults_of_rules_pass(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let errors in rules for nodes of ONNX pass, but where nodes are changed or `odd_nodes` is asked for."""
    name = request.path.stem
    if name.startswith("test_graph") and name != "test_graph_fuzzing":
        from dscost.graphs import evaluating

        if "odd_nodes" not in request.fixturenames:
            monkeypatch.setattr(evaluating, "ODD", ())


@pytest.fixture
def odd_nodes() -> None:
    """Say that a test is of nodes which no rule can expect."""


@pytest.fixture
def forked_workers() -> Iterator[None]:
    """Let the workers that count a test's models be forked: `forking` says what that leaves out."""
    import forking

    with forking.forked_workers():
        yield


@pytest.fixture
def network_file(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes an architecture file and returns its path."""

    def write(text: str, name: str = "net.yaml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def own_formats() -> Iterator[None]:
    """Leave the registry of formats as it was."""
    from dscost.rendering import RENDERERS

    assert "sarif" in set(RENDERERS)  # all that are found by themselves are loaded
    before = dict(RENDERERS._entries)
    yield
    RENDERERS._entries.clear()
    RENDERERS._entries.update(before)
