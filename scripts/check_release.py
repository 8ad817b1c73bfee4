"""Build what would be released, install it afresh and run the commands of the pages there.

With --tag it must be the release that the tag names, and the changelog must have its date.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from documents import README, Example, examples, wrapped

HERE = Path(__file__).parent.parent
TOOLS = ["build", "hatchling", "twine"]
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_ENTRY = re.compile(r"^## (?P<version>\S+) – (?P<date>\S+)$", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MISSING = re.compile(r"pip install 'dscost\[(\w[\w-]*)\]'")
"""How dscost says that an extra is not there."""


class ReleaseError(Exception):
    """Something that a release must not have, said in one line."""


def version() -> str:
    """Return the version where it is written, and nowhere else."""
    found = _VERSION.search((HERE / "dscost" / "version.py").read_text(encoding="utf-8"))
    if found is None:
        raise ReleaseError("dscost/version.py: no __version__")
    return found[1]


def newest_entry(changelog: str) -> tuple[str, str, str]:
    """Return version, date and text of the entry on top of a changelog, an item a line.

    Where releases are shown, each end of a line is one.
    """
    entries = list(_ENTRY.finditer(changelog))
    if not entries:
        raise ReleaseError("CHANGELOG.md: no entry '## VERSION – DATE'")
    first = entries[0]
    end = entries[1].start() if len(entries) > 1 else len(changelog)
    text = re.sub(r"(?<=\S)\n(?: {2})?(?=[^\s#-])", " ", changelog[first.end() : end].strip())
    return first["version"], first["date"], f"{text}\n"


def check_words(tag: str | None) -> str:
    """Return the notes of this version; changelog, tag and version must agree."""
    changelog = (HERE / "CHANGELOG.md").read_text(encoding="utf-8")
    named, date, notes = newest_entry(changelog)
    if named != version():
        raise ReleaseError(f"CHANGELOG.md: the top entry is {named}, dscost/version.py {version()}")
    if tag is not None and tag != f"v{version()}":
        raise ReleaseError(f"the tag is {tag}, dscost/version.py {version()}")
    if not _DATE.fullmatch(date) and (tag is not None or date != "unreleased"):
        raise ReleaseError(f"CHANGELOG.md: {named} has the date {date!r}, not a day as 2026-12-31")
    return notes


def run(*command: str | Path, cwd: Path = HERE) -> str:
    """Run a command and return what it printed; a failure shows that and ends the check."""
    told = {"PIP_CONSTRAINT": str(HERE / "constraints.txt"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    told["PIP_BUILD_CONSTRAINT"] = told["PIP_CONSTRAINT"]  # newer pips build by this one
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **told, "SOURCE_DATE_EPOCH": committed_at()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    if ran.returncode:
        raise ReleaseError(f"{shlex.join(map(str, command))}: exit {ran.returncode}\n{ran.stdout}")
    return ran.stdout


def git(*arguments: str) -> str:
    """Return what git says of this repository."""
    return subprocess.run(
        ["git", *arguments], cwd=HERE, capture_output=True, encoding="utf-8", check=True
    ).stdout


def committed_at() -> str:
    """Return the time of the last commit, which files in archives have, so that builds agree."""
    return git("log", "-1", "--format=%ct").strip()


def environment(folder: Path) -> Path:
    """Make a virtual environment and return its Python."""
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def built(python: Path, folder: Path) -> tuple[Path, Path]:
    """Return sdist and wheel; a wheel built from the one has what one from the tree has."""
    straight = folder.parent / "straight"
    run(python, "-m", "build", "--outdir", folder)
    run(python, "-m", "build", "--wheel", "--outdir", straight)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    told = f"dscost-{version()}"
    if (sdist.name, wheel.name) != (f"{told}.tar.gz", f"{told}-py3-none-any.whl"):
        raise ReleaseError(f"built {sdist.name} and {wheel.name} of version {version()}")
    _same(
        "wheel from the sdist",
        members(wheel),
        "wheel from the tree",
        members(straight / wheel.name),
    )
    run(python, "-m", "twine", "check", "--strict", sdist, wheel)
    return sdist, wheel


def members(wheel: Path) -> dict[str, int]:
    """Return the files of a wheel with the check sums of what is in them."""
    with zipfile.ZipFile(wheel) as archive:
        return {one.filename: one.CRC for one in archive.infolist()}


def _same(one: str, found: dict[str, int], other: str, expected: dict[str, int]) -> None:
    if only := sorted(found.keys() - expected.keys()):
        raise ReleaseError(f"the {one} has what the {other} has not: {', '.join(only)}")
    if only := sorted(expected.keys() - found.keys()):
        raise ReleaseError(f"the {one} lacks {', '.join(only)}")
    if differ := sorted(name for name, told in found.items() if told != expected[name]):
        raise ReleaseError(f"{one} and {other} differ in {', '.join(differ)}")


def check_contents(sdist: Path, wheel: Path) -> None:
    """The sdist has the files that git knows, the wheel the package and configs, and no others."""
    tracked = git("ls-files").splitlines()
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2]: 0 for name in archive.getnames()}
    _same("sdist", packed, "repository", dict.fromkeys([*tracked, "PKG-INFO"], 0))
    inside = [name for name in tracked if name.startswith("dscost/")]
    inside += [f"dscost/{name}" for name in tracked if name.startswith("configs/")]
    about = {name: 0 for name in members(wheel) if ".dist-info/" in name}
    shipped = dict.fromkeys(members(wheel), 0)
    _same("wheel", shipped, "repository", dict.fromkeys(inside, 0) | about)


def check_runs(python: Path, home: Path, package: Path) -> str:
    """Install a package alone, run the pages' commands, and again with extras that they ask for.

    Returns how many commands ran, without and with extras.
    """
    run(python, "-m", "pip", "install", "--quiet", package)
    said = _answer(python, home, ["--version"]).stdout.split()
    if said[:2] != ["dscost", version()]:
        raise ReleaseError(f"{package.name}: dscost --version says {' '.join(said)}")
    exact = [example for example in examples() if not example.measured]
    asked, missing = [], set()
    for example in exact:
        wanted = _wanted(python, home, example)
        asked += [example] if wanted else []
        missing |= wanted
    if len(asked) == len(exact):
        raise ReleaseError(f"{package.name}: no command of the pages runs without extras")
    run(python, "-m", "pip", "install", "--quiet", f"{package}[{','.join({'torch', *missing})}]")
    for example in asked:
        if wanted := _wanted(python, home, example):
            raise ReleaseError(f"{example.command}: asks for {', '.join(wanted)}, which is there")
    main = main_command()
    if (ran := _answer(python, home, main)).returncode:
        raise ReleaseError(f"dscost {shlex.join(main)}: exit {ran.returncode}\n{ran.stderr}")
    extras = ", ".join(sorted({"torch", *missing}))
    return f"{len(exact) - len(asked)} commands alone, {len(asked) + 1} with {extras}"


def main_command() -> list[str]:
    """Return the arguments of dscost in the README's command for a fresh machine."""
    text = README.read_text(encoding="utf-8")
    found = re.search(r"<!-- main command -->\n```sh\n.* && \S+/dscost (.*)\n```", text)
    if found is None:
        raise ReleaseError("README.md: no main command that ends in dscost")
    return shlex.split(found[1])


def _wanted(python: Path, home: Path, example: Example) -> set[str]:
    """Return the extras that a command asks for; if none, it must print what its page shows."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        for name, content in example.files:
            (Path(folder) / name).write_text(content, encoding="utf-8")
        if example.after and (first := _answer(python, Path(folder), example.after)).returncode:
            return _extras(first, example)
        ran = _answer(python, Path(folder), example.arguments)
        if wrapped(ran.stdout + ran.stderr) == wrapped(example.printed):
            return set()
        return _extras(ran, example)


def _extras(ran: "subprocess.CompletedProcess[str]", example: Example) -> set[str]:
    wanted = set(_MISSING.findall(ran.stderr))
    if ran.returncode != 2 or not wanted:
        printed = ran.stdout + ran.stderr
        raise ReleaseError(f"{example.command}: printed\n{printed}\ninstead of\n{example.printed}")
    return wanted


def _answer(
    python: Path, cwd: Path, arguments: "list[str] | tuple[str, ...]"
) -> "subprocess.CompletedProcess[str]":
    """Run the installed dscost, with nothing of the environment of who runs this script."""
    return subprocess.run(
        [python.parent / "dscost", *arguments],
        cwd=cwd,
        env={"HOME": str(cwd), "PATH": os.defpath, "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def check(tag: str | None, output: Path | None, notes: Path | None) -> None:
    """Run all checks, and write the packages and their notes where they are asked for."""
    words = check_words(tag)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = environment(folder / "tools")
        run(tools, "-m", "pip", "install", "--quiet", *TOOLS)
        sdist, wheel = built(tools, output or folder / "dist")
        check_contents(sdist, wheel)
        print(f"{sdist.name} and {wheel.name} have what they should", flush=True)
        for package in (wheel, sdist):
            home = folder / package.suffix.strip(".")
            home.mkdir()
            said = check_runs(environment(home / "venv"), home, package.resolve())
            print(f"{package.name}: {said}", flush=True)
    if notes is not None:
        notes.write_text(words, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Check, and say in one line what must not be released."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", help="the tag that is to be released, as v1.2.3")
    parser.add_argument("--output", type=Path, help="an empty folder for the packages")
    parser.add_argument("--notes", type=Path, help="a file for what the changelog says of it")
    given = parser.parse_args(arguments)
    try:
        check(given.tag, given.output, given.notes)
    except ReleaseError as error:
        print(f"check_release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
