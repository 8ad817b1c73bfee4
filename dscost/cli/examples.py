"""Command lines to copy, of each command: what its help shows, the plainest first."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Example(NamedTuple):
    """A command line, and what it does."""

    line: str
    does: str


EXAMPLES: Mapping[str, Sequence[Example]] = {
    "": (
        Example("dscost layer 256 256 3", "a convolution against its cheaper form"),
        Example("dscost model resnet18", "a network, layer by layer"),
        Example("dscost convert resnet18 --goal macs=0.5x", "a cheaper one with its weights"),
    ),
    "layer": (
        Example("dscost layer 256 256 3", "counted, and timed on this machine"),
        Example(
            "dscost layer 256 256 3 --runtime torch,onnxruntime", "timed under what you deploy with"
        ),
        Example(
            "dscost layer 256 256 3 --variant ghost --variant shuffle",
            "other cheap convolutions",
        ),
    ),
    "model": (
        Example(
            "dscost model resnet18 --no-time --plot layers=layers.svg",
            "a built-in network, counted at once, and drawn",
        ),
        Example("dscost model net.py:Net --input 1,3,224,224", "your own, counted and timed"),
        Example(
            "dscost model net.onnx --input x=1,3,224,224 --on raspberry_pi_4",
            "an ONNX file, and bounds on a device",
        ),
    ),
    "compare": (
        Example("dscost compare resnet18 resnet34", "two networks, in total and by layer"),
        Example(
            "dscost compare resnet18 mobilenet_v2 --time --runtime onnxruntime,openvino",
            "timed in turns, a table for each runtime",
        ),
        Example("dscost compare net.py:Net net.onnx", "what an export made of a model"),
    ),
    "sweep": (
        Example("dscost sweep --cin 8:64:8 --cout '2 * cin' -k 1,3,5", "a grid of layers, counted"),
        Example(
            "dscost sweep --cin 8:1024:8 --cout 16,32,64 -k 3 --size 7,14,28 -o table.csv",
            "thousands of them, to a file",
        ),
        Example(
            "dscost sweep separable_pays --time --runtime onnxruntime --export lut.csv "
            "--plot crossover=map.svg",
            "a built-in file, timed: where separable begins to pay, drawn as well",
        ),
        Example(
            "dscost sweep --model mobilenet_v1 --set width=0.25:1.0:0.25 --input 128,224",
            "models by their settings and inputs",
        ),
        Example(
            "dscost sweep --layers-of mobilenet_v2 --time",
            "the layers of a model, timed one by one, beside the whole",
        ),
        Example(
            "dscost sweep once_for_all --time --emit proxylessnas=lut.yaml "
            "--scheduler tcp://desk:8786",
            "a search space for Once-for-all, timed on the machines of a Dask cluster",
        ),
    ),
    "convert": (
        Example("dscost convert resnet18 --fastest --save cheaper.pt", "the layers that gain here"),
        Example(
            "dscost convert net.py:Net --input 1,3,224,224 --save cheaper.pt --save-code cheap.py",
            "every layer that can be, as weights and as code",
        ),
        Example(
            "dscost convert resnet18 --goal macs=0.5x --save-plan plan.yaml",
            "half the MACs with least error; the plan, to look at and to edit",
        ),
    ),
    "device": (
        Example("dscost device", "measure this CPU"),
        Example("dscost device cuda --dtype float16", "measure the GPU"),
        Example("dscost device raspberry_pi_4", "the data sheet of another device"),
    ),
    "check": (
        Example("dscost check", "judge by the nearest dscost.yaml"),
        Example("dscost check --against main --strict", "growth since the branch main, too"),
        Example("dscost check --format github", "as annotations of a pull request"),
    ),
    "baseline": (
        Example("dscost baseline save", "keep what every model costs now"),
        Example("dscost baseline update --accept resnet18", "take growth over that was meant"),
        Example("dscost baseline show", "what growth is judged by"),
    ),
    "verify": (
        Example("dscost verify resnet18", "a built-in network"),
        Example("dscost verify net.py:Net --input 1,3,224,224", "your own"),
        Example("dscost verify net.onnx", "an ONNX file, as ONNX Runtime runs it"),
    ),
    "which": (
        Example("dscost which resnet50 4.11G", "whose count that is"),
        Example("dscost which mobilenet_v2 0.32", "a figure without a unit"),
        Example("dscost which net.py:Net 1.2G --input 1,3,224,224", "your own network"),
    ),
    "list": (
        Example("dscost list", "built-in networks, with what they cost"),
        Example("dscost list devices", "devices for --on, with peak and bandwidth"),
        Example("dscost list runtimes", "what --runtime takes, and what of it is installed"),
    ),
    "init": (
        Example("dscost init resnet18", "a budget for a built-in network"),
        Example("dscost init net.py:Net --input 1,3,224,224", "for your own"),
        Example("dscost init resnet18 vgg16 --headroom 2%", "for two, with tight limits"),
    ),
    "schema": (
        Example("dscost schema budget", "what a budget may say"),
        Example("dscost schema report -o report.schema.json", "what --json writes, to a file"),
    ),
    "help": (
        Example("dscost help", "all commands"),
        Example("dscost help layer", "as dscost layer --help"),
    ),
}
"""By command; under no name those of the program itself."""
