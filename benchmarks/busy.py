"""What keeps processors busy with something else while a benchmark measures."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CODE = "while True: sum(range(10000))"


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Keep so many processes computing."""
    processes = [subprocess.Popen([sys.executable, "-c", CODE]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
