"""What a model is calibrated on: read right, resized as Pillow does, and refused in one line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from program import run
from test_graph_converting import net

import dscost
from dscost.converting.recovering import arrays, inputs
from dscost.converting.recovering.arrays import Wanted
from dscost.converting.recovering.counting import batching_of
from dscost.errors import InputError, UnavailableError

pytest.importorskip("onnxruntime")
Image = pytest.importorskip("PIL.Image")

X = Wanted("x", (1, 3, 4, 5), "float32", frozenset((0,)))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def images(*names: str, shape: tuple[int, ...] = (7, 9, 3)) -> None:
    Path("images").mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        Image.fromarray(pixels(seed, *shape)).save(f"images/{name}")


def values(calibrate: Any, wanted: Any = (X,)) -> Any:
    found = inputs.read_inputs(calibrate, wanted)
    assert found.arrays is not None
    return found.arrays.values


# -- images


def test_images_are_resized_scaled_and_sorted_by_name() -> None:
    images("b.png", "a.png", "c.jpeg")
    Path("images/notes.txt").write_text("no image")
    found = values("images/")["x"]
    assert (found.shape, found.dtype) == ((3, 3, 4, 5), np.float32)
    for at, seed in ((0, 1), (1, 0)):
        image = Image.fromarray(pixels(seed, 7, 9, 3)).resize((5, 4), Image.Resampling.BILINEAR)
        expected = np.asarray(image).transpose(2, 0, 1) / 255
        assert found[at] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("one", "shape"),
    [
        (X._replace(shape=(1, 1, 4, 5)), (2, 1, 4, 5)),
        (X._replace(shape=(1, 4, 5, 3)), (2, 4, 5, 3)),
        (X._replace(dtype="uint8"), (2, 3, 4, 5)),
        (X._replace(dtype="float16"), (2, 3, 4, 5)),
        (X._replace(dtype="bfloat16"), (2, 3, 4, 5)),
    ],
    ids=["grey", "channels last", "bytes", "halves", "bfloat16"],
)
def test_images_are_what_the_model_takes(one: Wanted, shape: tuple[int, ...]) -> None:
    images("a.png", "b.png")
    found = values("images", [one])["x"]
    assert found.shape == shape
    dtype = "float32" if one.dtype == "bfloat16" else one.dtype
    assert found.dtype == dtype
    scale = 255 if dtype == "uint8" else 1
    assert scale / 2 < float(found.max()) <= scale


def test_what_was_done_to_images_is_said_and_that_some_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images(*(f"{at}.png" for at in range(5)))
    monkeypatch.setattr(arrays, "MOST_INPUTS", 3)
    found = inputs.read_inputs("images", [X])
    assert found.notes == (
        "3 of the 5 images are calibrated on, evenly spaced by name.",
        "Images were resized to 4×5 (bilinear), values 0 to 1, with no mean or standard deviation subtracted: "
        "for others give file.py:batches.",
    )
    first, middle, last = found.arrays.values["x"]  # type: ignore[union-attr]
    alone = [values("images")["x"][at] for at in (0, 1, 2)]
    assert all(
        (one == other).all() for one, other in zip((first, middle, last), alone, strict=True)
    )


def grey(name: str, values: np.ndarray, **options: Any) -> None:
    Path("images").mkdir(exist_ok=True)
    Image.fromarray(values).save(f"images/{name}", **options)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.full((4, 5), 0x4000, np.uint16), "a.png"),
        (np.full((4, 5), 0x4000, np.uint16), "a.tif"),
        (np.full((4, 5), 0x4000, np.int32), "a.tif"),
        (np.full((4, 5), 0.25, np.float32), "a.tif"),
        (np.full((4, 5), 63.75, np.float32), "a.tif"),
    ],
    ids=["16 bits", "16 bits of TIFF", "32 bits", "0 to 1", "0 to 255"],
)
def test_images_of_more_than_8_bits_are_scaled_not_white(
    values: np.ndarray, name: str, channels: int
) -> None:
    grey(name, values)
    found = inputs.read_inputs("images", [X._replace(shape=(1, channels, 4, 5))]).arrays
    assert found is not None
    assert found.values["x"] == pytest.approx(np.full((1, channels, 4, 5), 0.25), abs=1e-3)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([[-1, 2]], np.float32), "values -1 to 2, expected 0 to 1 or 0 to 255 of floating point"),
        (np.array([[0, 812]], np.float32), "values 0 to 812, expected 0 to 1 or"),
        (np.array([[0, np.nan]], np.float32), "values nan to nan, expected 0 to 1 or"),
        (np.array([[0, 70000]], np.int32), "values 0 to 70000, expected 0 to 65,535"),
    ],
    ids=["below", "above", "NaN", "more than 16 bits"],
)  # fmt: skip
def test_images_of_no_known_range_are_refused_in_a_line(values: np.ndarray, told: str) -> None:
    grey("a.tif", values)
    with pytest.raises(InputError) as error:
        inputs.read_inputs("images", [X])
    assert str(error.value).startswith(f"calibrate images: a.tif has {told}")


def test_images_are_turned_as_their_camera_was() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image = pixels(0, 5, 4, 3)
    grey("a.png", image, exif=exif)
    found = values("images")["x"][0]
    assert found.transpose(1, 2, 0) * 255 == pytest.approx(np.rot90(image, -1), abs=1e-4)


# -- arrays


def test_arrays_are_read_as_they_are() -> None:
    made = np.random.default_rng(0).standard_normal((6, 3, 4, 5))
    np.save("x.npy", made)
    np.savez("x.npz", x=made)
    np.savez("any.npz", some=made)
    for calibrate in ("x.npy", "x.npz", "any.npz", Path("x.npy"), made, {"x": made}):
        found = values(calibrate)["x"]
        assert found.dtype == np.float32
        assert found == pytest.approx(made, abs=1e-6)


def test_several_inputs_are_arrays_of_their_names() -> None:
    mask = Wanted("mask", (1, 4), "bool", frozenset((0,)))
    own = Wanted("size", (), "int64", is_needed=False)
    np.savez("x.npz", x=np.zeros((2, 3, 4, 5)), mask=np.ones((2, 4), bool))
    found = values("x.npz", [X, mask, own])
    assert {name: one.shape for name, one in found.items()} == {"x": (2, 3, 4, 5), "mask": (2, 4)}


def test_an_array_of_inputs_without_a_batch_is_given_one_by_one() -> None:
    vector = Wanted("x", (4,), "float32")
    found = inputs.read_inputs(np.ones((3, 4), np.float32), [vector]).arrays
    assert found is not None
    assert [batch["x"].shape for batch in found.batches(16)] == [(4,)] * 3


def test_open_axes_are_of_any_size() -> None:
    one = X._replace(open_axes=frozenset((0, 2, 3)))
    assert values(np.ones((2, 3, 8, 8), np.float32), [one])["x"].shape == (2, 3, 8, 8)


# -- code


FILE = """
import numpy as np
from beside import SIZE
def batches():
    for at in range(3):
        yield np.full((2, 3, SIZE, 5), at, np.float32), np.zeros(2)
def endless():
    while True:
        yield np.zeros((100, 3, 4, 5), np.float32)
def nothing():
    return []
def number():
    return 7
def failing():
    yield np.zeros((1, 3, 4, 5))
    raise KeyError("no file")
def at_once():
    raise OSError("gone")
array = np.ones((4, 3, 4, 5))
listed = [np.ones((1, 3, 4, 5), np.float32)] * 2
"""


@pytest.fixture
def file() -> None:
    Path("frames.py").write_text(FILE)
    Path("beside.py").write_text("SIZE = 4")


def test_code_gives_one_batch_after_the_other(file: None) -> None:
    found = inputs.read_inputs("frames.py:batches", [X])
    assert [batch[0].shape for batch in found.batches] == [(2, 3, 4, 5)] * 3
    assert len(inputs.read_inputs("frames.py:listed", [X]).batches) == 2
    assert values("frames.py:array")["x"].shape == (4, 3, 4, 5)


def test_what_never_ends_is_taken_for_a_while(file: None) -> None:
    found = inputs.read_inputs("frames.py:endless", [X])
    assert len(found.batches) == 2
    assert found.notes == ("The first 200 inputs of more: at most 256 are taken.",)


def test_from_python_a_list_or_a_generator_is_several_batches() -> None:
    made = [np.ones((2, 3, 4, 5), np.float32)] * 3
    for given in (made, tuple(made), iter(made), (one for one in made)):
        assert len(inputs.read_inputs(given, [X]).batches) == 3


# -- how many there are


ONE = np.zeros((3, 4, 5), np.float32)


@pytest.mark.parametrize(
    ("batch", "number"),
    [
        (np.stack([ONE] * 8), 8),
        (ONE, 1),
        ((np.stack([ONE] * 8), np.zeros(8)), 8),
        ((np.zeros(1, np.int64), np.stack([ONE] * 8)), 8),
        ({"k": np.zeros((2, 2), np.int64), "x": np.stack([ONE] * 8)}, 8),
        ([{"x": np.stack([ONE] * 8)}, 7], 8),
        (7, 1),
    ],
    ids=["batch", "one", "labels", "a step", "names", "nested", "number"],
)
def test_the_inputs_of_a_batch_are_counted_along_the_axis_that_they_have(
    batch: Any, number: int
) -> None:
    step = Wanted("k", (2, 2), "int64", frozenset())
    assert batching_of([step, X]).inputs_in(batch) == number


def test_what_has_no_batch_is_one_input_each() -> None:
    for one in (X._replace(is_batched=False), Wanted("x", (8,), "float32")):
        assert batching_of([one]).inputs_in(np.zeros(one.shape)) == 1


def test_at_most_256_inputs_are_taken_and_that_is_always_said() -> None:
    many = np.zeros((1000, 3, 4, 5), np.float32)
    labels = np.arange(1000)
    evenly = "256 of the 1,000 inputs are calibrated on, evenly spaced."
    first = "The first {} inputs of more: at most 256 are taken."
    rows: list[tuple[Any, int, str | None]] = [
        (many, 256, evenly),
        ([many], 256, first.format(256)),
        ([(many, labels)], 256, first.format(256)),
        ([many[:200]] * 3, 200, first.format(200)),
        ([many[:64]] * 4, 256, None),
        ([many[:64]] * 5, 256, first.format(256)),
        (list(many[:300]), 256, first.format(256)),
    ]
    for given, number, told in rows:
        found = inputs.read_inputs(given, [X])
        batches = found.batches if found.arrays is None else [found.arrays.values["x"]]
        assert sum(map(found.batching.inputs_in, batches)) == number
        assert found.notes == (() if told is None else (told,))
    np.save("x.npy", many)
    assert inputs.read_inputs("x.npy", [X]).notes == (evenly,)
    ((frames, own),) = inputs.read_inputs([(many, labels)], [X]).batches
    assert (len(frames), len(own)) == (256, 256)


# -- what cannot be


def test_no_pickle_is_read() -> None:
    np.save("x.npy", np.array([{"a": 1}]), allow_pickle=True)
    Path("y.npy").write_bytes(b"anything")
    told = "no array of numbers; pickled objects are not read: write it by numpy.save"
    for name in ("x.npy", "y.npy"):
        with pytest.raises(InputError) as error:
            inputs.read_inputs(name, [X])
        assert str(error.value) == f"calibrate {name}: {told}"


ROWS: dict[str, tuple[Callable[[], Any], str]] = {
    "no such file": (lambda: "none", "calibrate none: no such file or folder; expected a folder of images"),
    "another file": (lambda: _written("x.txt"), "calibrate x.txt: expected a folder of images, an .npy or .npz"),
    "no zip": (lambda: _written("x.npz"), "calibrate x.npz: no array of numbers; pickled"),
    "empty folder": (lambda: _folder(), "calibrate images: the folder is empty"),
    "no images": (lambda: _folder("a.txt"), "calibrate images: no images are in it, such as .png or .jpg"),
    "folders": (lambda: _folder("cat/a.png"), "no images are in it itself; give one of the folders in it: cat"),
    "no image": (lambda: _folder("a.png"), "calibrate images: a.png cannot be read: UnidentifiedImageError"),
    "shape": (lambda: np.ones((2, 3, 5, 5)), "calibrate: an array 2×3×5×5 of 'x', expected COUNT×3×4×5"),
    "channels last": (
        lambda: np.ones((2, 4, 5, 3)), "its channels come last: array.transpose(0, 3, 1, 2) puts them"
    ),
    "NaN": (lambda: np.full((1, 3, 4, 5), np.nan), "calibrate: 60 of 60 values are NaN or infinite"),
    "infinite": (lambda: np.full((1, 3, 4, 5), -np.inf), "calibrate: 60 of 60 values are NaN or infinite"),
    "bytes": (
        lambda: pixels(0, 1, 3, 4, 5),
        "calibrate: uint8 where the model takes float32: give what the model was trained on, such as pixels / 255",
    ),
    "none": (lambda: np.ones((0, 3, 4, 5)), "calibrate: there are no inputs in it"),
    "name": (lambda: {"y": np.ones((1, 3, 4, 5))}, "unknown input 'y'"),
    "number": (lambda: 7, "calibrate: gives no inputs one after the other, found 7"),
    "empty list": (list, "calibrate: gives no inputs"),
}  # fmt: skip


def _written(name: str) -> str:
    Path(name).write_bytes(b"abc")
    return name


def _folder(*names: str) -> str:
    Path("images").mkdir()
    for name in names:
        Path("images", name).parent.mkdir(exist_ok=True)
        _written(f"images/{name}")
    return "images"


@pytest.mark.parametrize(("make", "told"), ROWS.values(), ids=ROWS)
def test_what_is_no_input_is_refused_in_a_line(make: Any, told: str) -> None:
    with pytest.raises(InputError) as error:
        inputs.read_inputs(make(), [X])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


OF_CODE = {
    "frames.py": "calibrate frames.py: name what is meant of it, as frames.py:NAME, one of batches, endless, ",
    "frames.py:btches": "there is no 'btches' in frames.py (did you mean 'batches'?)",
    "frames.py:nothing": "calibrate frames.py:nothing: gives no inputs",
    "frames.py:number": "calibrate frames.py:number: gives no inputs one after the other, found 7",
    "frames.py:failing": "calibrate frames.py:failing: it raised KeyError: 'no file'",
    "frames.py:at_once": "calibrate frames.py:at_once: it raised OSError: gone",
    "other.py:batches": "calibrate other.py:batches: no such file: other.py",
}


@pytest.mark.parametrize(("calibrate", "told"), OF_CODE.items(), ids=OF_CODE)
def test_code_that_gives_no_inputs_is_told_in_a_line(calibrate: str, told: str, file: None) -> None:
    with pytest.raises(InputError) as error:
        inputs.read_inputs(calibrate, [X])
    assert told in str(error.value)


def test_a_model_that_takes_no_images_is_told_so() -> None:
    images("a.png")
    two = [X, X._replace(name="mask")]
    for wanted, told in (
        (two, "images for a model of several inputs, x, mask: give an .npz or file.py:batches"),
        (
            [X._replace(shape=(1, 6, 4, 5))],
            "the model takes 1×6×4×5 float32, images have 1 or 3 channels",
        ),
        ([X._replace(shape=(1, 8))], "the model takes 1×8 float32"),
        (None, "the size of an input is not known: give it, as input=(1, 3, …)"),
    ):
        with pytest.raises(InputError) as error:
            inputs.read_inputs("images", wanted)
        assert str(error.value).startswith(f"calibrate images: {told}")
    with pytest.raises(
        InputError, match=r"^calibrate: one array, the model takes 2 inputs, x, mask: give an \.npz"
    ):
        inputs.read_inputs(np.ones((1, 3, 4, 5)), two)
    with pytest.raises(InputError, match=r"^calibrate: no array 'mask', which the model takes$"):
        inputs.read_inputs({"x": np.ones((1, 3, 4, 5))}, two)
    with pytest.raises(InputError, match=r"found 2 of 'x', 1 of 'mask'$"):
        inputs.read_inputs({"x": np.ones((2, 3, 4, 5)), "mask": np.ones((1, 3, 4, 5))}, two)


def test_without_pillow_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    images("a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    told = r"^calibrate images: Pillow is not installed: pip install 'dscost\[images\]'$"
    with pytest.raises(UnavailableError, match=told):
        inputs.read_inputs("images", [X])


# -- the whole way


NET = """
import torch
from torch import nn
def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
"""


@pytest.mark.torch
def test_a_model_of_torch_is_recovered_from_the_command_line() -> None:
    Path("net.py").write_text(NET)
    images(*(f"{at}.png" for at in range(4)))
    given = [
        "--input",
        "1,3,12,12",
        "--min-channels",
        "1",
        "--calibrate",
        "images",
        "--save",
        "new.pt",
    ]
    ran = run("convert", "net.py:make", *given)
    assert ran.returncode == 0, ran.stderr
    text = " ".join(ran.stdout.split())
    assert "Recovered on 4 inputs of images: output error " in text
    assert "by refitting pointwise weights" in text
    assert "Images were resized to 12×12 (bilinear)" in text
    ran = run("convert", "net.py:make", *given, "--json")
    document = json.loads(ran.stdout)
    jsonschema.validate(document, json.loads(run("schema", "conversion").stdout))
    recovery = document["conversion"]["recovery"]
    assert (recovery["source"], recovery["inputs"]) == ("images", 4)
    steps = [step["name"] for step in recovery["steps"]]
    assert steps == ["pointwise weights refitted", "BatchNorm re-estimated"]
    assert recovery["steps"][0]["error_after"] < recovery["steps"][0]["error_before"]


@pytest.mark.torch
def test_the_saved_weights_are_those_that_were_recovered() -> None:
    import torch

    Path("net.py").write_text(NET)
    made = np.random.default_rng(0).random((8, 3, 12, 12)).astype(np.float32)
    np.save("x.npy", made)
    given = ["--input", "1,3,12,12", "--min-channels", "1", "--save", "new.pt"]
    ran = run("convert", "net.py:make", *given, "--calibrate", "x.npy")
    assert ran.returncode == 0, ran.stderr
    saved = torch.load("new.pt")
    found = dscost.conversion(
        "net.py:make", (1, 3, 12, 12), min_channels=1, calibrate=torch.from_numpy(made)
    )
    assert found.recovery is not None
    for name, one in found.module.state_dict().items():
        assert torch.allclose(saved[name].double(), one.double(), atol=1e-5), name
    assert "Recovered on 8 inputs of calibrate" in str(found)
    assert found.to_dict()["recovery"]["inputs"] == 8


@pytest.mark.torch
def test_a_loader_of_images_and_labels_is_batches_without_labels() -> None:
    import torch
    from torch import nn

    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    x = torch.rand(12, 3, 10, 10)
    data = torch.utils.data.TensorDataset(x, torch.arange(12))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    ways = [
        loader, list(x.split(4)), (one.numpy() for one in x.split(4)), list(x),
        [(one, 3) for one in x.split(4)], [{"input": one} for one in x.split(4)],
    ]  # fmt: skip
    steps = [
        dscost.conversion(module, (1, 3, 10, 10), min_channels=1, calibrate=way).recovery
        for way in ways
    ]
    for recovery in steps:
        assert recovery is not None
        assert recovery.inputs == 12
        (step,) = recovery.steps
        assert step.error_after < step.error_before
        assert step.error_before == pytest.approx(steps[0].steps[0].error_before, rel=1e-4)


@pytest.mark.torch
def test_a_model_of_one_batch_alone_is_given_that() -> None:
    import torch
    from torch import nn

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, x: Any) -> Any:
            return self.conv(x).reshape(2, 8 * 64)

    found = dscost.conversion(
        Fixed(),
        (2, 3, 10, 10),
        min_channels=1,
        calibrate=np.random.default_rng(0).random((6, 3, 10, 10)),
    )
    assert found.recovery is not None
    assert found.recovery.inputs == 6
    assert found.recovery.steps[0].kept
    assert isinstance(found.module(torch.zeros(2, 3, 10, 10)), torch.Tensor)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([np.ones((1, 3, 9, 9), np.uint8)], r"^calibrate: batch 1 is uint8 where the model takes float32: give"),
        ([np.full((1, 3, 9, 9), np.nan)], r"^calibrate: batch 1: 243 of 243 values are NaN or infinite$"),
        ([np.ones((1, 4, 9, 9))], r"^Conv2d cannot be run to calibrate it: RuntimeError: .*channels"),
        ([(1, 3, 9, 9)], r"^calibrate: batch 1 has no values to calibrate on$"),
    ],
    ids=["bytes", "NaN", "channels", "shape"],
)  # fmt: skip
def test_batches_that_the_model_does_not_take_are_told(given: Any, told: str) -> None:
    from torch import nn

    with pytest.raises(InputError, match=told):
        dscost.convert(nn.Conv2d(3, 8, 3), (1, 3, 9, 9), min_channels=1, calibrate=given)


@pytest.mark.torch
def test_random_weights_are_not_calibrated() -> None:
    from torch import nn

    with pytest.raises(InputError, match=r"^calibrate refits weights of svd"):
        dscost.convert(nn.Conv2d(3, 8, 3), method="random", calibrate=[np.ones((1, 3, 9, 9))])


@pytest.mark.torch
def test_where_nothing_is_converted_nothing_is_recovered() -> None:
    from torch import nn

    found = dscost.conversion(nn.Conv2d(3, 8, 3), (1, 3, 9, 9), calibrate=np.ones((2, 3, 9, 9)))
    assert found.recovery is not None
    assert found.recovery.notes == ("Nothing is converted, so nothing is recovered.",)


def test_an_onnx_file_is_recovered_from_the_command_line_without_torch() -> None:
    onnx.save(net(), "net.onnx")
    np.save("x.npy", np.random.default_rng(0).random((5, 4, 9, 8)).astype(np.float32))
    code = (
        "import sys; from dscost.cli import main\n"
        "sys.argv = 'dscost convert net.onnx --min-channels 5 --calibrate x.npy --save new.onnx'.split()\n"
        "try: main()\n"
        "except SystemExit as ended: print(ended.code, file=sys.stderr)\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-2:] == ["0", "False"], ran.stderr
    assert "Recovered on 5 inputs of x.npy: output error " in ran.stdout
    found = dscost.conversion("net.onnx", min_channels=5, calibrate="x.npy")
    assert onnx.load("new.onnx").graph == found.module.graph
    plain = dscost.convert("net.onnx", min_channels=5)
    assert plain.graph != found.module.graph


def test_code_gives_an_onnx_file_its_inputs(file: None) -> None:
    onnx.save(net(), "net.onnx")
    Path("own.py").write_text(
        "import numpy as np\n"
        "x = np.random.default_rng(0).random((6, 4, 9, 8)).astype(np.float32)\n"
        "def batches(): return ((x[at : at + 3], [1, 2, 3]) for at in (0, 3))\n"
        "def named(): return [{'x': x}]\n"
        "def images(): return list(x)\n"
    )
    steps = []
    for name in ("batches", "named", "images", "x"):
        found = dscost.conversion("net.onnx", min_channels=5, calibrate=f"own.py:{name}")
        assert found.recovery is not None
        assert found.recovery.inputs == 6  # its batch is 1
        steps.append(found.recovery.steps)
    assert all(one == steps[0] for one in steps)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([np.ones((1, 3, 9, 8), np.float32)], r"^calibrate: batch 1 is 1×3×9×8, the model takes 1×4×9×8$"),
        ([{"y": np.ones((1, 4, 9, 8), np.float32)}], r"^unknown input 'y' \(known: x\) in calibrate: batch 1$"),
        ([{}], r"^calibrate: batch 1 has no 'x', which the model takes$"),
        (["a"], r"^calibrate: batch 1 is 'a', the model takes 1×4×9×8$"),
        ([np.ones((1, 4, 9, 8), np.int64)], r"^calibrate: batch 1: int64 where the model takes float32: give"),
    ],
    ids=["shape", "name", "nothing", "text", "whole numbers"],
)  # fmt: skip
def test_batches_that_a_file_does_not_take_are_told(given: Any, told: str) -> None:
    onnx.save(net(), "net.onnx")
    with pytest.raises(InputError, match=told):
        dscost.convert("net.onnx", min_channels=5, calibrate=given)


def test_inputs_that_fill_no_batch_are_left_out_and_that_is_said() -> None:
    one = net()
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(one, "net.onnx")
    found = dscost.conversion("net.onnx", min_channels=5, calibrate=np.ones((5, 4, 9, 8)))
    assert found.recovery is not None
    assert found.recovery.inputs == 4
    assert found.recovery.notes == (
        "1 input left out, too few for a batch: the model takes 2 at once.",
    )
    with pytest.raises(
        InputError, match=r"^calibrate: the model takes 2 inputs at once, there are fewer$"
    ):
        dscost.convert("net.onnx", min_channels=5, calibrate=np.ones((1, 4, 9, 8)))


@pytest.mark.parametrize(
    ("sizes", "taken", "left"),
    [([6], 4, "2 inputs"), ([4, 3], 4, "3 inputs"), ([9, 4], 12, "1 input"), ([4, 4], 8, None)],
    ids=str,
)
def test_batches_that_fill_none_of_the_model_are_left_out_and_that_is_said(
    sizes: list[int], taken: int, left: str | None
) -> None:
    one = net()
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(one, "net.onnx")
    given = [np.random.default_rng(size).random((size, 4, 9, 8)) for size in sizes]
    found = dscost.conversion("net.onnx", min_channels=5, calibrate=given).recovery
    assert found is not None
    assert found.inputs == taken
    told = f"{left} left out, too few for a batch: the model takes 4 at once."
    assert found.notes == ((told,) if left else ())
    with pytest.raises(InputError, match=r"takes 4 inputs at once, no batch has as many$"):
        dscost.convert("net.onnx", min_channels=5, calibrate=list(given[0][:3]))


def test_an_onnx_file_without_a_batch_takes_inputs_one_by_one() -> None:
    one = net()
    del one.graph.input[0].type.tensor_type.shape.dim[0]  # 4×9×8
    for node in one.graph.node:
        node.input[:] = ["whole" if name == "x" else name for name in node.input]
    one.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "axes"))
    one.graph.node.insert(0, onnx.helper.make_node("Unsqueeze", ["x", "axes"], ["whole"]))
    onnx.save(one, "net.onnx")
    made = np.random.default_rng(0).random((6, 4, 9, 8)).astype(np.float32)
    for given in (made, list(made)):
        found = dscost.conversion("net.onnx", min_channels=5, calibrate=given).recovery
        assert found is not None
        assert found.inputs == 6


@pytest.mark.torch
def test_a_model_of_torch_without_a_batch_takes_inputs_one_by_one() -> None:
    import torch
    from torch import nn

    module = nn.Sequential(nn.Conv2d(32, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    made = torch.rand(8, 32, 8, 8)
    rows: list[tuple[Any, Any]] = [
        ((32, 8, 8), list(made)), ((32, 8, 8), made), (None, list(made))
    ]  # fmt: skip
    steps = []
    for size, given in rows:
        found = dscost.conversion(module, size, min_channels=1, calibrate=given).recovery
        assert found is not None
        assert found.inputs == 8
        steps.append(found.steps[0].error_after)
    assert steps == pytest.approx([steps[0]] * 3, rel=1e-4)


@pytest.mark.torch
def test_a_step_before_the_images_counts_nothing() -> None:
    import torch
    from torch import nn

    class Stepped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, step: Any, x: Any) -> Any:
            return self.conv(x) * step

    given = [(torch.ones(1), one) for one in torch.rand(32, 3, 9, 9).split(16)]
    module = Stepped().eval()
    found = dscost.conversion(module, ((1,), (1, 3, 9, 9)), min_channels=1, calibrate=given)
    assert found.recovery is not None
    assert found.recovery.inputs == 32


def test_the_command_line_is_told_in_its_words_and_python_in_its_own() -> None:
    onnx.save(net(), "net.onnx")
    ran = run("convert", "net.onnx", "--calibrate", "none")
    assert "--calibrate none: no such file or folder" in " ".join(ran.stderr.split())
    with pytest.raises(InputError, match=r"^calibrate none: no such file or folder"):
        dscost.convert("net.onnx", calibrate="none")


def test_a_result_is_not_written_over_the_inputs() -> None:
    onnx.save(net(), "net.onnx")
    onnx.save(net(), "x.onnx")
    ran = run("convert", "net.onnx", "--calibrate", "x.onnx", "--save", "x.onnx")
    assert ran.returncode == 2
    assert "x.onnx is read as --calibrate, a result would be written over it" in ran.stderr
