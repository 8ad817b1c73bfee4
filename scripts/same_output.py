"""Hold what the commands print now against what another checkout prints.

Before a change that should not be seen, and after it:

    git worktree add ../before main
    python scripts/same_output.py ../before

Every command runs in a process and a folder of its own, once with the package of the other checkout
and once with ours; its exit code, stdout, stderr and the files that it writes are compared. Nothing
here measures a time, so every byte can be the same. Exit code 1 where one is not.
"""

import difflib
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent.parent

FILES = {
    "net.yaml": """
input: [3, 32, 32]
layers:
  - {conv: 3, out_channels: 32, name: stem}
  - {conv: 3, out_channels: 64, stride: 2, name: wide}
  - {conv: 3, groups: 64, out_channels: 64, name: dw}
  - {conv: 1, out_channels: 128, name: pw}
""",
    "net.py": """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        wide = nn.Conv2d(width, 64, 5, padding=2)
        self.body = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), wide)
        self.shared = nn.Conv2d(64, 64, 3, padding=1)
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = self.shared(self.shared(self.body(self.stem(x))))
        x = x.flatten(2).transpose(1, 2)
        x, _ = self.attention(x, x, x)
        return self.head(torch.special.bessel_j0(x.mean(1)))

def slim():
    return Net(16)
""",
    "budget.yaml": """
version: 1
models:
  - target: net.yaml
    limits: {macs: {max: 10M}, params: 100k}
    layers:
      - {match: "wide", each: {macs: 1M}}
    exclude:
      - {match: "dw", reason: replaced downstream}
  - target: resnet18
    limits: {macs: {max: 2G, level: warn}, params: {max: 9M, level: warn}, weight_bytes: 44 MiB}
    layers:
      - {match: "type:Conv2d[groups=1,kernel>3]", total: {macs: {max: 0, message: "too large"}}}
  - target: net.py:Net
    input: [1, 3, 16, 16]
    limits: {params: 150k, traffic_bytes: 1 MiB}
""",
    "grown.yaml": """
version: 1
baseline: known.json
models:
  - target: net.yaml
    limits: {macs: {max_increase: 1%}}
""",
    "broken.yaml": """
version: 1
models:
  - {target: net.yaml, limitz: {macs: 1M}, limits: {max: 3}}
""",
    "plan.yaml": "version: 1\ntarget: net.py:Net\ninput: [1, 3, 16, 16]\nlayers:\n  body.2: 2\n",
}

COMMANDS = """
layer --cin 256 --cout 256 -k 3 --no-time
layer --cin 48 --cout 96 -k 5x3 --stride 2x1 --padding 2x1 --size 31x40 --batch 2 --no-time --wide
layer --cin 256 --cout 256 -k 3 --variant grouped:8 --variant ghost --variant bottleneck --no-time
layer --cin 256 --cout 256 -k 3 --no-time --json
layer --cin 64 --cout 64 -k 3 --size 56 --no-time --on raspberry_pi_4 --on t4 --format csv
layer --cin 64 --cout 65 -k 3 --groups 2 --no-time
layer --cin 3 --cout 8 --kernel three
model resnet18 --no-time
model resnet18 --no-time --wide --train
model mobilenet_v1 --no-time --depth 1 --columns kind,params,macs,standard_macs,reduction
model mobilenet_v1 --no-time --format markdown --top 3 --sort macs --columns kind,output,macs,share
model mobilenet_v2 --no-time --json
model net.yaml --no-time --format csv -o net.csv --export json=net.json --export markdown=net.md
model net.py:Net --input 1,3,16,16 --no-time --wide
model net.py:Net --input 1,3,16,16 --no-time --json
model net.py:Net --input 1,3,16,16 --no-time --format csv
model resnet81
compare resnet18 resnet34 --top 3
compare net.py:Net net.py:slim net.yaml --input 1,3,32,32
compare resnet18 resnet34 --json
compare resnet18 resnet34 --format markdown
compare resnet18 resnet34 --format csv
check budget.yaml
check budget.yaml --json
check budget.yaml --format markdown
check budget.yaml --format github
check budget.yaml --format gitlab
check budget.yaml --format junit
check budget.yaml --format sarif
check broken.yaml
check grown.yaml
convert net.py:Net --input 1,3,16,16 --rank 1
convert net.py:Net --input 1,3,16,16 --goal macs=0.7x --save-plan chosen.yaml --json
convert net.py:Net --input 1,3,16,16 --plan plan.yaml --format csv
convert net.py:Net --input 1,3,16,16 --rank 2 --format markdown
baseline save grown.yaml
init net.yaml resnet18
verify mobilenet_v3_small
which mobilenet_v3_small 0.06
verify net.py:Net --input 1,3,16,16
list models
list variants
list metrics
list formats
list devices
schema report
schema budget
schema architecture
schema comparison
schema conversion
--help
check --help
convert --help
device --help
layer --help
model --help
""".strip().splitlines()


def said(checkout: Path, command: str) -> str:
    """Return all that a command says and writes, with the package of a checkout."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in FILES.items():
            (folder / file).write_text(text.lstrip("\n"), encoding="utf-8")
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("DSCOST", "CI"))
        }
        ran = subprocess.run(
            [sys.executable, "-m", "dscost", *shlex.split(command)],
            cwd=folder,
            env=clean | {"PYTHONPATH": str(checkout), "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        parts = [f"exit code {ran.returncode}", "-- stdout", ran.stdout, "-- stderr", ran.stderr]
        for path in sorted(folder.rglob("*")):
            wrote = path.is_file() and path.name not in FILES and "__pycache__" not in path.parts
            if wrote:
                parts += [f"-- {path.relative_to(folder)}", path.read_text(encoding="utf-8")]
        return "\n".join(parts).replace(name, "FOLDER")


def main(other: Path) -> int:
    """Print where the outputs differ, and return 1 if any does."""
    with ThreadPoolExecutor(2) as pool:
        before = pool.map(lambda command: said(other, command), COMMANDS)
        now = pool.map(lambda command: said(HERE, command), COMMANDS)
        pairs = list(zip(COMMANDS, before, now, strict=True))
    different = [(command, old, new) for command, old, new in pairs if old != new]
    for command, old, new in different:
        print(f"== dscost {command}")
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "before", "now", n=1)
        print("\n".join(lines))
    print(f"{len(COMMANDS) - len(different)} of {len(COMMANDS)} commands say the same")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
