"""Put into the README what its commands print now. tests/test_readme.py tells when that is due."""

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from readme import README, examples


def main() -> None:
    """Run every example and replace what stands below its command."""
    text = README.read_text(encoding="utf-8")
    dscost = str(Path(sys.executable).parent / "dscost")
    for example in examples():
        with tempfile.TemporaryDirectory() as folder:
            for name, content in example.files:
                (Path(folder) / name).write_text(content, encoding="utf-8")
            if example.after:
                subprocess.run(
                    [dscost, *example.after], stdout=subprocess.DEVNULL, cwd=folder, check=True
                )
            ran = subprocess.run(
                [dscost, *example.arguments],
                capture_output=True,
                text=True,
                cwd=folder,
                check=False,
            )
        before = f"$ {example.command}\n{example.printed}"
        text = text.replace(before, f"$ {example.command}\n{ran.stdout}{ran.stderr}", 1)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
