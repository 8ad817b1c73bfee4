"""Put into README.md and docs/ what their commands print now, and make docs/reference anew.

tests/test_documents.py and tests/test_reference.py tell when that is due.

    python scripts/fill_documents.py [--measured] [PAGE...]
    python scripts/fill_documents.py --reference

Without pages all are filled; what was measured stays, unless it is asked for.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from documents import ROOT, Example, examples, pages, wrapped
from reference import generated


def main(arguments: list[str]) -> None:
    """Run the examples of each page and replace what stands below their commands."""
    parser = argparse.ArgumentParser(description="Fill pages with what their commands print.")
    parser.add_argument("--measured", action="store_true", help="measured blocks as well")
    parser.add_argument("--reference", action="store_true", help="only docs/reference")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    asked = parser.parse_args(arguments)
    if not asked.pages:
        for path, text in generated().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for page in [] if asked.reference else asked.pages or pages():
        text = page.read_text(encoding="utf-8")
        for example in examples([page.resolve()]):
            if example.measured and not asked.measured:
                continue
            before = f"$ {example.command}\n{example.printed}"
            text = text.replace(before, f"$ {example.command}\n{_printed(example)}", 1)
        page.write_text(_SNIPPET.sub(_snippet, text), encoding="utf-8")


_SNIPPET = re.compile(r"(<!-- (configs/ci/[\w.-]+) -->\n```yaml\n).*?```", re.DOTALL)
"""A file that a page shows as it is."""


def _snippet(found: re.Match[str]) -> str:
    return f"{found[1]}{(ROOT / found[2]).read_text(encoding='utf-8')}```"


def _printed(example: Example) -> str:
    dscost = str(Path(sys.executable).parent / "dscost")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in example.files:
            (Path(folder) / name).write_text(content, encoding="utf-8")
        if example.after:
            subprocess.run(
                [dscost, *example.after], stdout=subprocess.DEVNULL, cwd=folder, check=True
            )
        ran = subprocess.run(
            [dscost, *example.arguments], capture_output=True, text=True, cwd=folder, check=False
        )
    return wrapped(ran.stdout + ran.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
