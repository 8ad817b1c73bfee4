from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def network_file(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes an architecture file and returns its path."""

    def write(text: str, name: str = "net.yaml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write
