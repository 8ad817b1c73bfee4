"""Everything that must hold before a change lands: lint, format, types, floors, tests; as in CI."""

import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
CHECKS = {
    "lint": [f"{BIN}/ruff", "check", "."],
    "format": [f"{BIN}/ruff", "format", "--check", "."],
    "types": [f"{BIN}/mypy"],
    "floors": [f"{BIN}/lint-imports", "--no-logo"],
    "tests": [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal"],
}


def main(arguments: list[str]) -> int:
    """Run all checks, even after one has failed, and return 1 if any did."""
    failed = []
    for name, command in CHECKS.items():
        if name == "tests" and "--skip-tests" in arguments:
            continue
        print(f"== {name}: {' '.join(command)}", flush=True)
        if subprocess.run(command, cwd=Path(__file__).parent.parent, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
