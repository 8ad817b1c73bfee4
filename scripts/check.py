"""Everything that must hold before a change lands: lint, format, types, floors, tests; as in CI."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
QUICK = {
    "lint": [f"{BIN}/ruff", "check", "."],
    "format": [f"{BIN}/ruff", "format", "--check", "."],
    "types": [f"{BIN}/mypy"],
    "floors": [f"{BIN}/lint-imports", "--no-logo"],
}
"""What reads the code; all of it at once."""
TESTS = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal"]


def main(arguments: list[str]) -> int:
    """Run all checks, even after one has failed, and return 1 if any did."""
    running = {
        name: subprocess.Popen(
            command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for name, command in QUICK.items()
    }
    failed = []
    for name, process in running.items():
        said, _ = process.communicate()
        print(f"== {name}: {' '.join(QUICK[name])}\n{said}", end="", flush=True)
        if process.returncode:
            failed.append(name)
    if "--skip-tests" not in arguments:
        print(f"== tests: {' '.join(TESTS)}", flush=True)
        if subprocess.run(TESTS, cwd=HERE, check=False).returncode:
            failed.append("tests")
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
