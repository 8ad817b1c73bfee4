"""dscost and ten other counters on the same networks, each in a process of its own: what they say, and how long it takes.

Method: the networks of `peer_networks.py` are made with random weights; their MACs are known by hand, not from dscost.
Every tool has an environment of its own, made here with pinned versions, as two of them are imported by one name; those
for torch modules share one torch, torchvision and timm, and dscost is installed beside them like the others. Each is
asked by the entry that its documentation names, with its defaults (`peer_counts.py`); what is said is turned into
MACs by what the tool says that it counts. Files for tools of ONNX are written by `torch.onnx.export` with its defaults,
once; dscost reads the same files.

Each count is a new process. Its time goes from its start to its last line of output; its memory is the kernel's
largest resident set of it. Imports, making the network, and counting are told by the process itself. dscost is run by its
command line, which makes the network as well, and by its library, on a network that has been made as for the others.
Agreement is of every network; the networks of `--timed` are run in rounds, the tools of a round by turns, each round
beginning with another one; the first round of a network is left out. Medians, with quartiles.

Run: `python benchmarks/peers.py --environments DIR [--timed NETWORK …] [--rounds N] [--networks …] [--tools …]`.
Environments take 2.5 GB and are made once; DIR/runs.jsonl has what was run, which is not run again. Prints Markdown.
"""

import argparse
import json
import os
import platform
import random
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from peer_networks import NETWORKS

HERE = Path(__file__).resolve().parent
LIMIT_S = 300
"""Of one process."""
ROOT = HERE.parent
EXTRAS = ("peers", "peers-ultralytics")


def pins() -> dict[str, str]:
    """Return what pip is told by the names of packages: of this project, the pins of its extras and its constraints."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    lines = [*(ROOT / "constraints.txt").read_text().splitlines(), *ours]
    found = {line.partition("==")[0]: line for line in lines if "==" in line}
    return {**found, "dscost": f"{ROOT}[onnx]"}


PINS = pins()
COMMON = ("torch", "torchvision", "timm", "numpy")
"""What all counters of torch modules share."""
CONSTRAINED = {"dscost": ("-c", str(ROOT / "constraints.txt"))}


class Tool(NamedTuple):
    """A counter and how it is installed.

    Args:
        packages: What it is made of, itself first.
        word: What it says that it counts.
        per_mac: How many of those a multiply-accumulate is.
        of: What it is given: a module, a file, the name of a network, or what dscost makes one of.
    """

    packages: tuple[str, ...]
    word: str
    per_mac: int = 1
    of: str = "module"

    @property
    def environment(self) -> str:
        """The folder that it is installed in."""
        return "common" if self.packages[0] in COMMON else self.packages[0]

    @property
    def has_torch(self) -> bool:
        """Whether it stands beside torch, as what writes files does."""
        return self.of != "file" or self.packages == ITSELF


ITSELF = ("dscost", "onnx", "onnxscript")
TOOLS: dict[str, Tool] = {
    "dscost model": Tool(ITSELF, "MACs", of="target"),
    "dscost, library": Tool(ITSELF, "MACs"),
    "dscost, built-in": Tool(ITSELF, "MACs", of="name"),
    "fvcore": Tool(("fvcore",), "flops, 1 per MAC"),
    "torchinfo": Tool(("torchinfo",), "mult-adds"),
    "ptflops": Tool(("ptflops",), "MACs"),
    "ptflops, aten": Tool(("ptflops",), "MACs"),
    "thop": Tool(("thop",), "MACs"),
    "ultralytics-thop": Tool(("ultralytics-thop",), "MACs"),
    "calflops": Tool(("calflops", "transformers"), "MACs, and FLOPs"),
    "torchprofile": Tool(("torchprofile",), "MACs"),
    "FlopCounterMode": Tool(("torch",), "FLOPs, 2 per MAC", 2),
    "FlopCounterMode, meta": Tool(("torch",), "FLOPs, 2 per MAC", 2),
    "dscost, ONNX": Tool(ITSELF, "MACs", of="file"),
    "onnx-tool": Tool(("onnx-tool", "onnx", "numpy"), "MACs", of="file"),
    "onnxsim": Tool(("onnxsim", "onnx", "numpy"), "MACs", of="file"),
}
OURS = tuple(name for name in TOOLS if name.startswith("dscost"))
MODULES = tuple(name for name, tool in TOOLS.items() if tool.of in ("module", "target"))
FILES = tuple(name for name, tool in TOOLS.items() if tool.of == "file")


# -- environments


def python_of(place: Path, environment: str) -> Path:
    return place / environment / "bin" / "python"


def install(place: Path, names: Sequence[str]) -> None:
    """Make the environments that are missing; dscost is installed anew, as it may have changed."""
    tools = [TOOLS[name] for name in ("FlopCounterMode", "dscost model", *names)]
    wanted = {tool.environment: tool for tool in tools}  # dscost writes the files, beside torch
    for environment, tool in wanted.items():
        python = python_of(place, environment)
        fresh = not python.exists()
        if fresh:
            venv.EnvBuilder(with_pip=True).create(place / environment)
        if environment != "common" and tool.has_torch:
            common, own = (
                next(place.glob(f"{one}/lib/*/site-packages")) for one in ("common", environment)
            )
            (own / "common.pth").write_text(f"{common}\n")
        packages = COMMON if environment == "common" else tool.packages
        if fresh:
            wheels = [PINS[name] for name in packages]
            # torch first: what is built for a processor alone is not what others would have fetched
            for some in (wheels[:1], wheels) if environment == "common" else (wheels,):
                pip(python, *some, *CONSTRAINED.get(environment, ()))
        elif environment == "dscost":
            pip(python, "--force-reinstall", "--no-deps", str(ROOT))


def pip(python: Path, *words: str) -> None:
    subprocess.run([str(python), "-m", "pip", "install", "-q", *words], check=True)


def needs_mending(place: Path) -> bool:
    """Whether torchvision does not find two operators in this torch."""
    tried = ran([str(python_of(place, "common")), "-c", "import torchvision"])
    return bool(tried.code) and "does not exist" in tried.err


def version_of(place: Path, name: str) -> str:
    code = f"from importlib.metadata import version; print(version({name!r}))"
    environment = "dscost" if name == "dscost" else TOOLS[name].environment
    package = "torch" if environment == "common" else name
    return ran([str(python_of(place, environment)), "-c", code.replace(name, package)]).out.strip()


# -- one process


class Ran(NamedTuple):
    """How a process ended.

    Args:
        answered_s: From its start to the end of what it wrote.
        cpu_s: What all its threads computed.
    """

    code: int
    out: str
    err: str
    answered_s: float
    cpu_s: float
    peak_bytes: int


def ran(command: Sequence[str]) -> Ran:
    """Run a process to its end; its largest resident memory is the kernel's figure of it alone."""
    before = time.perf_counter()
    answered, written = before, b""
    with tempfile.TemporaryFile() as stderr, selectors.DefaultSelector() as waiting:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, cwd=HERE)
        assert process.stdout is not None
        waiting.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not waiting.select(LIMIT_S - (time.perf_counter() - before)):
                process.kill()
                os.wait4(process.pid, 0)
                return Ran(-1, "", f"TimeoutError: over {LIMIT_S} s", LIMIT_S, 0.0, 0)
            some = os.read(process.stdout.fileno(), 1 << 16)
            if not some:
                break
            answered, written = time.perf_counter(), written + some
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        stderr.seek(0)
        err = stderr.read().decode(errors="replace")
    out = written.decode(errors="replace")
    cpu_s, peak_bytes = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    return Ran(process.returncode, out, err, answered - before, cpu_s, peak_bytes)


class Run(NamedTuple):
    """What a tool said of a network, once; `None` where it said nothing, and why.

    Args:
        figure: In the tool's own unit.
        why: The line of the error that there is instead.
        load: How many processes had wanted a core in the minute before it ended.
    """

    network: str
    tool: str
    round: int
    figure: int | None = None
    params: int | None = None
    why: str = ""
    answered_s: float | None = None
    import_s: float | None = None
    make_s: float | None = None
    count_s: float | None = None
    cpu_s: float | None = None
    peak_bytes: int | None = None
    load: float | None = None

    def after(self, ran: Ran) -> "Run":
        """Return it with what its process took."""
        return self._replace(
            answered_s=ran.answered_s,
            cpu_s=ran.cpu_s,
            peak_bytes=ran.peak_bytes,
            load=os.getloadavg()[0],
        )

    @property
    def macs(self) -> float | None:
        """What it says, as MACs."""
        return None if self.figure is None else macs_of(self.tool, self.figure)


def macs_of(tool: str, figure: int) -> float:
    """Return how many MACs a figure of a tool stands for."""
    return figure / TOOLS[tool].per_mac


class Place(NamedTuple):
    """Where environments and files are."""

    folder: Path
    mend: bool

    def run(self, network: str, tool: str, number: int) -> Run:
        """Have a tool count a network."""
        python = str(python_of(self.folder, TOOLS[tool].environment))
        mend = ["--mend"] if self.mend else []
        file = self.folder / "files" / f"{network}.onnx"
        if TOOLS[tool].of == "file" and not file.exists():
            file.parent.mkdir(exist_ok=True)
            exporting = [str(python_of(self.folder, "dscost")), str(HERE / "peer_counts.py")]
            made = ran([*exporting, "export", network, str(file), *mend])
            if made.code:
                return Run(network, tool, number, why=f"no file: {reason(made.err)}")
        if tool in OURS and TOOLS[tool].of != "module":
            return self._command(network, tool, number, file)
        of_file = [str(file)] if TOOLS[tool].of == "file" else []
        found = ran([python, str(HERE / "peer_counts.py"), tool, network, *of_file, *mend])
        said = Run(network, tool, number).after(found)
        if found.code:
            return said._replace(why=reason(found.err))
        return said._replace(**json.loads(found.out.splitlines()[-1]))

    def _command(self, network: str, tool: str, number: int, file: Path) -> Run:
        """Run the command line, which prints its table; the figures are in a file beside it."""
        with tempfile.NamedTemporaryFile(suffix=".json") as told:
            command = str(self.folder / "dscost" / "bin" / "dscost")
            target = target_of(network, tool, file)
            found = ran([command, "model", *target, "--no-time", "--export", f"json={told.name}"])
            said = Run(network, tool, number).after(found)
            if found.code:
                return said._replace(why=reason(found.err))
            cost = json.loads(Path(told.name).read_text())["subjects"][0]["totals"]["as_is"]
        return said._replace(figure=cost["macs"], params=cost["params"])


def target_of(network: str, tool: str, file: Path) -> list[str]:
    """Return how dscost's command line is told a network."""
    if TOOLS[tool].of == "file":
        return [str(file)]
    if TOOLS[tool].of == "name":
        return [NETWORKS[network].built_in]
    if ":" in NETWORKS[network].target:
        return [NETWORKS[network].target]
    shape = ",".join(map(str, NETWORKS[network].shape))
    return [f"{HERE / 'peer_networks.py'}:{NETWORKS[network].target}", "--input", shape]


def reason(err: str) -> str:
    """Return the line that says why, of what was written to stderr: an exception's own, else the last one."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    named = [
        one for one in lines if one.split(":")[0].replace(".", "").isidentifier() and ": " in one
    ]
    errors = [
        one for one in named if "Error" in one.split(":")[0] or "Exception" in one.split(":")[0]
    ]
    return ([*lines[-1:], *errors[-1:]] or ["it ended without a word"])[-1][:160]


# -- rounds


def runs_of(
    place: Place, networks: Sequence[str], tools: Sequence[str], rounds: Mapping[str, int]
) -> list[Run]:
    """Return all runs; those that are on file are not made again."""
    path = place.folder / "runs.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    runs = [Run(**json.loads(line)) for line in lines]
    known = {(run.network, run.tool, run.round): run for run in runs}
    with path.open("a", encoding="utf-8") as kept:
        for network in networks:
            for number in range(1 + rounds.get(network, 0)):
                for tool in in_turn(tools, number):
                    first = known.get((network, tool, 0))
                    if TOOLS[tool].of == "name" and not NETWORKS[network].built_in:
                        continue
                    if (network, tool, number) in known or (number and first and first.why):
                        continue
                    run = place.run(network, tool, number)
                    known[network, tool, number] = run
                    print(json.dumps(run._asdict()), file=kept, flush=True)
                    print(f"{network} {tool} {number}: {run.figure} {run.why}", file=sys.stderr)
    return [
        run
        for (network, tool, number), run in known.items()
        if network in networks and tool in tools and number <= rounds.get(network, 0)
    ]


def in_turn(tools: Sequence[str], number: int) -> list[str]:
    """Return the tools in an order of chance, the same for each round of that number."""
    return random.Random(number).sample(list(tools), len(tools))


# -- what is said


def ratio(run: Run | None) -> str:
    """Say how far a figure is from the exact one."""
    if run is None:
        return ""
    if run.macs is None:
        return "no figure"
    return difference(run.macs, NETWORKS[run.network].macs)


def difference(macs: float, exact: int) -> str:
    """Say how far off a figure is, in percent, with two digits that tell."""
    if macs == exact:
        return "exact"
    percent = 100 * (macs / exact - 1)
    if abs(percent) < 0.005:
        return f"{macs - exact:+,.0f}"
    return f"{percent:+.{2 if abs(percent) < 1 else 1 if abs(percent) < 100 else 0}f} %"


def agreement(runs: Sequence[Run], networks: Sequence[str], tools: Sequence[str]) -> Iterator[str]:
    first = {(run.network, run.tool): run for run in runs if run.round == 0}
    for start in range(0, len(networks), 4):
        some = networks[start : start + 4]
        yield f"| tool | {' | '.join(some)} |"
        yield "| :-- |" + " --: |" * len(some)
        exact = " | ".join(f"{NETWORKS[name].macs:,}" for name in some)
        yield f"| MACs by hand | {exact} |"
        for tool in tools:
            yield f"| {tool} | {' | '.join(ratio(first.get((name, tool))) for name in some)} |"
        yield ""


def how_many(runs: Sequence[Run], tools: Sequence[str]) -> Iterator[str]:
    yield "| tool | it says | exact | within 1 % | further off | no figure | params exact |"
    yield "| :-- | :-- | --: | --: | --: | --: | --: |"
    for tool in tools:
        said = [run for run in runs if run.tool == tool and run.round == 0]
        macs = [(run.macs, NETWORKS[run.network].macs) for run in said if run.macs is not None]
        exact = sum(found == right for found, right in macs)
        near = sum(abs(found / right - 1) <= 0.01 for found, right in macs) - exact
        params = [run for run in said if run.params is not None]
        right = sum(run.params == NETWORKS[run.network].params for run in params)
        counts = f"{exact} | {near} | {len(macs) - exact - near} | {len(said) - len(macs)}"
        of_module = params and TOOLS[tool].of != "file"  # an exporter folds norms into weights
        told = f"{right} of {len(said)}" if of_module else "–"
        yield f"| {tool} | {TOOLS[tool].word} | {counts} | {told} |"


def in_words(runs: Sequence[Run], networks: Sequence[str]) -> Iterator[str]:
    """Say who is always right, and the rest of dscost's own, whatever it is."""
    right: dict[str, bool] = {}
    for run in runs:
        if not run.round:
            exact = run.macs == NETWORKS[run.network].macs
            right[run.tool] = right.get(run.tool, True) and exact
    always = [tool for tool in TOOLS if right.get(tool)]
    wrong = [tool for tool in OURS if not right.get(tool, True)]
    yield f"Of the {len(networks)} networks, these have the exact figure of each that they were given:"
    yield f"{'; '.join(always) or 'none'}."
    if wrong:
        yield f"**dscost is not exact on all of them**: {'; '.join(wrong)}."


def failures(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        if run.round == 0 and run.why:
            line = run.why.replace("|", "/").replace("`", "'")
            yield f"- {run.tool}, {run.network}: `{line}`"


def figures(runs: Sequence[Run], networks: Sequence[str], tools: Sequence[str]) -> Iterator[str]:
    yield "| network | tool | what it says | as MACs | of the exact | params |"
    yield "| :-- | :-- | --: | --: | --: | --: |"
    first = {(run.network, run.tool): run for run in runs if run.round == 0}
    for network in networks:
        for run in (first.get((network, tool)) for tool in tools):
            if run is None or run.figure is None or run.macs is None:
                continue
            params = "–" if run.params is None else f"{run.params:,}"
            of_exact = f"{run.macs / NETWORKS[network].macs:.4f}"
            yield f"| {network} | {run.tool} | {run.figure:,} | {run.macs:,.0f} | {of_exact} | {params} |"


class Times(NamedTuple):
    """What a tool took on a network: medians, and the quartiles of the whole."""

    answered_s: float
    low_s: float
    high_s: float
    import_s: float | None
    make_s: float | None
    count_s: float | None
    cpu_s: float | None
    peak_bytes: float


def times_of(runs: Sequence[Run]) -> Times | None:
    """Return the medians over the rounds after the first."""
    timed = [run for run in runs if run.round and not run.why]
    if len(timed) < 2:
        return None

    def median(field: str) -> float | None:
        known = [getattr(run, field) for run in timed if getattr(run, field) is not None]
        return statistics.median(known) if known else None

    answered = [run.answered_s for run in timed if run.answered_s is not None]
    low, middle, high = statistics.quantiles(answered, n=4, method="inclusive")
    parts = (median("import_s"), median("make_s"), median("count_s"), median("cpu_s"))
    return Times(middle, low, high, *parts, median("peak_bytes") or 0.0)


def timing(network: str, times: Mapping[str, Times]) -> Iterator[str]:
    yield f"### {network}"
    yield ""
    yield "| tool | s to the answer | quartiles | import | make | count | CPU s | MiB |"
    yield "| :-- | --: | --: | --: | --: | --: | --: | --: |"
    for tool, one in sorted(times.items(), key=lambda item: item[1].answered_s):
        parts = (one.import_s, one.make_s, one.count_s, one.cpu_s)
        told = " | ".join("–" if part is None else f"{part:.2f}" for part in parts)
        quartiles = f"{one.low_s:.2f} to {one.high_s:.2f}"
        size = f"{one.peak_bytes / 2**20:.0f}"
        yield f"| {tool} | {one.answered_s:.2f} | {quartiles} | {told} | {size} |"
    yield ""
    yield from not_first(network, times)
    yield ""


def not_first(network: str, times: Mapping[str, Times]) -> Iterator[str]:
    """Say where another tool does better than dscost at the same task."""
    tasks = (
        ("to the answer, of a torch model", "answered_s", "dscost model", MODULES),
        ("counting alone, of a torch model", "count_s", "dscost, library", MODULES),
        ("processor time, of a torch model", "cpu_s", "dscost model", MODULES),
        ("memory, of a torch model", "peak_bytes", "dscost model", MODULES),
        ("to the answer, of an ONNX file", "answered_s", "dscost, ONNX", FILES),
        ("processor time, of an ONNX file", "cpu_s", "dscost, ONNX", FILES),
        ("memory, of an ONNX file", "peak_bytes", "dscost, ONNX", FILES),
    )
    for task, field, ours, group in tasks:
        known = {
            tool: value
            for tool, one in times.items()
            if tool in group and (tool == ours or tool not in OURS)
            if (value := getattr(one, field)) is not None
        }
        if ours not in known or len(known) < 2:
            continue
        before = [
            tool for tool in sorted(known, key=known.__getitem__) if known[tool] < known[ours]
        ]
        said = "; ".join(f"{tool} {known[tool] / known[ours]:.2f}" for tool in before)
        if before:
            yield f"- {network}, {task}: **dscost is not first**; of what it takes: {said}."
        else:
            second = min((value, tool) for tool, value in known.items() if tool != ours)
            ahead = (
                f"{second[1]}, which comes next, takes {second[0] / known[ours]:.2f} times as much"
            )
            yield f"- {network}, {task}: dscost is first; {ahead}."


def report(
    place: Place, runs: Sequence[Run], networks: Sequence[str], tools: Sequence[str]
) -> Iterator[str]:
    versions = {
        name: version_of(place.folder, name)
        for name in tools
        if name not in OURS and "," not in name
    }
    yield f"# dscost and its peers on the same networks, {datetime.now(UTC).date()}"
    yield ""
    yield f"Python {platform.python_version()}, {os.cpu_count()} cores, {processor()}. Versions:"
    yield ""
    yield f"- dscost {version_of(place.folder, 'dscost')}"
    yield from (f"- {name} {version}" for name, version in versions.items())
    yield ""
    yield "## How many figures are exact"
    yield ""
    yield from in_words(runs, networks)
    yield ""
    yield from how_many(runs, tools)
    yield ""
    yield "## How far off"
    yield ""
    yield from agreement(runs, networks, tools)
    yield "## No figure"
    yield ""
    yield from list(failures(runs)) or ["None failed."]
    yield ""
    yield "## How long"
    yield ""
    loads = [run.load for run in runs if run.round and run.load is not None]
    if loads:
        low, middle, high = (f"{of(loads):.1f}" for of in (min, statistics.median, max))
        yield f"Load of the machine while this ran: {low} to {high}, mostly {middle}, on {os.cpu_count()} cores."
        yield ""
    for network in networks:
        by_tool = {
            tool: [run for run in runs if (run.network, run.tool) == (network, tool)]
            for tool in tools
        }
        times = {tool: one for tool, several in by_tool.items() if (one := times_of(several))}
        if times:
            yield from timing(network, times)
    yield "## The figures"
    yield ""
    yield "Exact:"
    yield ""
    for name in networks:
        known = NETWORKS[name]
        yield f"- {name}: {known.macs:,} MACs, {known.params:,} params,"
        yield f"  {known.source}."
    yield ""
    yield from figures(runs, networks, tools)


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(found, platform.machine())


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, time and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--environments", type=Path, required=True, metavar="DIR")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--timed", nargs="*", choices=NETWORKS, default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="take the environments as they are")
    chosen: Any = parser.parse_args(arguments)
    # a program that may not keep its bytecode compiles its modules at each of its starts
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    folder = chosen.environments.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not chosen.keep:
        install(folder, chosen.tools)
    place = Place(folder, needs_mending(folder))
    rounds = dict.fromkeys(chosen.timed, chosen.rounds)
    runs = runs_of(place, chosen.networks, chosen.tools, rounds)
    print("\n".join(report(place, runs, chosen.networks, chosen.tools)))


if __name__ == "__main__":
    main()
