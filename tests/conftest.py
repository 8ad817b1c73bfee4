import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile(
    "alike", derandomize=True, database=None, deadline=None
)  # the same everywhere, however slow
settings.load_profile("alike")

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
