"""Inputs that code states, what is said where it states none, and batches as loaders give them."""

import textwrap
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import dscost
from dscost.cli.options import parse_inputs
from dscost.errors import DscostError, InputError
from dscost.notation.inputs import parse_input
from dscost.sources.stated import may_state
from dscost.tracing.inputs import ALL_TRUE, arguments_of

Models = Callable[[str], str]

HEAD = """
import torch
from torch import nn

class Net(nn.Conv2d):
    def __init__(self, width=4): super().__init__(3, width, 1)

class Ids(nn.Module):
    def __init__(self): super().__init__(); self.table = nn.Embedding(9, 4); self.layer = nn.Linear(4, 5)
    def forward(self, ids, lengths=None): return self.layer(self.table(ids))

def make(): return Net()
def ids(): return Ids()
"""


@pytest.fixture
def models(tmp_path: Path) -> Models:
    def write(text: str) -> str:
        path = tmp_path / "nets.py"
        path.write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return write


def refused(target: Any, **options: Any) -> str:
    with pytest.raises(DscostError) as caught:
        dscost.analyze(target, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# -- beside a factory


@pytest.mark.parametrize(
    ("statement", "name", "macs"),
    [
        ("example_input = (1, 3, 5, 5)", "make", 25 * 12),
        ("example_input = [2, 3, 5, 5]", "Net", 50 * 12),
        ("example_input = torch.zeros(1, 3, 5, 5)", "make", 25 * 12),
        ("example_inputs = (torch.zeros(1, 3, 5, 5),)", "make", 25 * 12),
        ("example_input = {'input': (1, 3, 5, 5)}", "make", 25 * 12),
        ("example_input = '1,3,5,5'", "make", 25 * 12),
        ("example_input = 'ids=1,7:int64'", "ids", 7 * 20),
        ("example_inputs = ['1,7:int64', 'lengths=1:int64=7']", "ids", 7 * 20),
        ("def example_input(): return torch.zeros(1, 7, dtype=torch.int64)", "ids", 7 * 20),
        (
            "def example_inputs(): return {'ids': torch.zeros(1, 7, dtype=torch.int64), 'lengths': None}",
            "Ids",
            7 * 20,
        ),
        ("example_input = lambda size=6: (1, 3, size, size)", "make", 36 * 12),
        ("example_inputs = None\nexample_input = (1, 3, 5, 5)", "make", 25 * 12),
    ],
)
def test_an_input_stands_beside_a_factory(
    models: Models, statement: str, name: str, macs: int
) -> None:
    path = models(statement)
    report = dscost.analyze(f"{path}:{name}")
    assert report.totals.as_is.macs == macs
    stated = (
        "example_inputs"
        if "example_inputs" in statement and "None\n" not in statement
        else "example_input"
    )
    assert f"The input is that of {stated} in {path}." in report.warnings


def test_what_is_given_goes_before_the_factory_and_that_before_the_model(models: Models) -> None:
    path = models(
        """
        class Own(Net):
            @property
            def example_input_array(self): return torch.zeros(1, 3, 3, 3)
        example_input = (1, 3, 5, 5)
        """
    )
    assert dscost.analyze(f"{path}:Own").totals.as_is.macs == 25 * 12
    report = dscost.analyze(f"{path}:Own", input=(1, 3, 2, 2))
    assert report.totals.as_is.macs == 4 * 12
    assert not any("input is" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "def example_input(): raise ValueError('no file\\nhere')",
            "{path}: example_input() failed: ValueError: no file",
        ),
        ("def example_input(size): return size", "{path}: example_input() failed: TypeError: "),
        ("def example_input(): raise SystemExit", "{path}: example_input() failed: SystemExit"),
        (
            "def example_input(): pass",
            "{path}: example_input() returns nothing: expected a shape, a tensor, or a tuple or dict",
        ),
        ("example_input = 'large'", "{path}: example_input: expected something like 1,3,224,224"),
        (
            "example_input = (1, 5, 5, 5)",
            "Net cannot be run on (1, 5, 5, 5) float32: RuntimeError: Given groups=1, weight of size [4, 3, 1, 1]",
        ),
    ],
)
def test_a_stated_input_that_is_none_is_told_with_its_place(
    models: Models, statement: str, message: str
) -> None:
    path = models(statement)
    told = refused(f"{path}:make")
    assert told.startswith(message.format(path=path))
    if "cannot be run" in told:
        assert told.endswith(
            f"; the input is that of example_input in {path}, --input gives another"
        )
    assert (
        dscost.analyze(f"{path}:make", input=(1, 3, 5, 5)).totals.as_is.macs == 25 * 12
    )  # it is not asked


# -- on the model


class Lit(nn.Module):
    def __init__(self, example: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)
        self.example_input_array = example

    def forward(self, x: Any, scale: Any = None) -> Any:
        x = x[0] if isinstance(x, list) else x
        return self.layer(x if scale is None else x * scale)


@pytest.mark.parametrize(
    "example",
    [
        torch.zeros(2, 8),
        (torch.zeros(2, 8),),
        (torch.zeros(2, 8), torch.ones(2, 1)),
        {"x": torch.zeros(2, 8), "scale": torch.ones(8)},
        [torch.zeros(2, 8)],
    ],
    ids=["a tensor", "a tuple", "two", "a dict", "a list, which Lightning does not unpack"],
)
def test_lightning_states_its_input_on_the_model(example: Any) -> None:
    report = dscost.analyze(Lit(example))
    assert report.totals.as_is.macs == 2 * 8 * 3
    assert report.warnings == ("The input is the model's own example_input_array.",)


@pytest.mark.parametrize("example", [None, {}, (), "text", 3], ids=repr)
def test_what_is_no_input_is_not_taken_for_one(example: Any) -> None:
    assert "Lit does not state its input: give it with --input 1,8 or input=(1, 8)" in refused(
        Lit(example)
    )


class Tokens(nn.Module):
    main_input_name = "input_ids"

    def __init__(self) -> None:
        super().__init__()
        self.table, self.layer = nn.Embedding(30, 4), nn.Linear(4, 5)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        return {"input_ids": torch.tensor([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]])}

    def forward(self, input_ids: Tensor) -> Any:
        return self.layer(self.table(input_ids))


def test_a_model_of_transformers_states_token_ids() -> None:
    report = dscost.analyze(Tokens())
    assert report.totals.as_is.macs == 15 * 20
    assert report.inputs == (((3, 5), "int64"),)
    assert report.warnings == ("The input is the model's own dummy_inputs.",)


class Pixels(Tokens):
    main_input_name = "pixel_values"

    class config:  # noqa: N801 - as transformers calls it
        image_size = 6
        num_channels = 2

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.conv = nn.Conv2d(2, 4, 1)

    def forward(self, pixel_values: Tensor) -> Any:
        return self.conv(pixel_values)


def test_a_model_that_sees_is_not_given_the_token_ids_that_it_states() -> None:
    report = dscost.analyze(Pixels())
    assert report.totals.as_is.macs == 36 * 8
    assert report.warnings == ("The input is of the size in the model's config.",)


class Hears(Pixels):
    main_input_name = "input_features"


def test_a_model_that_hears_is_asked_for_its_input() -> None:
    assert refused(Hears()).startswith("Hears does not state its input")


class Failing(nn.Linear):
    @property
    def dummy_inputs(self) -> Any:
        raise RuntimeError("no\nway")


def test_a_property_that_fails_is_told_and_not_asked_where_an_input_is_given() -> None:
    assert refused(Failing(8, 3)) == "Failing.dummy_inputs failed: RuntimeError: no; give --input"
    assert dscost.analyze(Failing(8, 3), input=(2, 8)).totals.as_is.macs == 48


class Nameless(nn.Sequential):
    def named_modules(self, *args: Any, **named: Any) -> Any:
        raise AssertionError("asked for the names of its modules")


def test_an_example_is_found_without_calling_what_a_class_may_override() -> None:
    assert "give it with --input 1,7,224,224" in refused(Nameless(nn.ReLU(), nn.Conv2d(7, 8, 3)))


class Methods(nn.Linear):
    def example_input_array(self) -> Any:
        raise AssertionError("called")

    dummy_inputs = example_input_array


def test_methods_of_a_model_are_not_called() -> None:
    assert refused(Methods(8, 3)).startswith("Methods does not state its input")


def test_the_dtype_that_is_asked_for_is_that_of_a_stated_input(models: Models) -> None:
    path = models("example_input = torch.zeros(1, 3, 5, 5)")
    report = dscost.analyze(f"{path}:make", dtype="float16")
    assert report.inputs == (((1, 3, 5, 5), "float16"),)
    report = dscost.analyze(
        f"{models('example_input = torch.zeros(1, 7).long()')}:ids", dtype="bfloat16", batch=3
    )
    assert report.inputs == (((3, 7), "int64"),)


# -- where there is none


def test_a_class_that_cannot_state_an_input_is_not_made_to_be_asked(
    models: Models, tmp_path: Path
) -> None:
    path = models(
        f"""
        class Slow(Net):
            def __init__(self, width=4):
                open({str(tmp_path / "made")!r}, "w").close()
                super().__init__(width)
        class Own(Slow):
            def __init__(self):
                super().__init__()
                self.example_input_array = torch.zeros(1, 3, 5, 5)
        """
    )
    told = refused(f"{path}:Slow")
    assert (
        told
        == f"{path}:Slow does not state its input: give it with --input 1,3,224,224 or input=(1, 3, 224, 224)"
    )
    assert not (tmp_path / "made").exists()
    assert dscost.analyze(f"{path}:Own").totals.as_is.macs == 25 * 12
    assert (tmp_path / "made").exists()


def test_a_model_of_sound_takes_samples_without_channels() -> None:
    class Hearing(nn.Sequential):
        main_input_name = "input_values"

    assert "give it with --input 1,16000 or input=(1, 16000)" in refused(
        Hearing(nn.Conv1d(1, 4, 10))
    )


def test_lightning_s_own_attribute_does_not_say_that_a_model_states_its_input() -> None:
    def example(self: Any) -> Any:
        return self._example_input_array

    base = type(
        "LightningModule",
        (nn.Module,),
        {
            "example_input_array": property(example),
            "to_onnx": lambda self: self.example_input_array,  # code of theirs that asks for it
            "__module__": "lightning.x",
        },
    )
    silent = type("Silent", (base,), {"__init__": lambda self: nn.Module.__init__(self)})

    def stating(self: Any) -> None:
        nn.Module.__init__(self)
        self.example_input_array = (1, 3)

    stated = type("Stated", (base,), {"__init__": stating})
    hugging = type("Hugging", (nn.Module,), {"dummy_inputs": property(lambda self: {})})
    assert [may_state(kind) for kind in (base, silent, stated, hugging, nn.Linear)] == [
        False,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (nn.Conv2d(5, 4, 1), "--input 1,5,224,224 or input=(1, 5, 224, 224)"),
        (nn.Sequential(nn.ReLU(), nn.Conv1d(2, 4, 1)), "--input 1,2,1000 or"),
        (nn.Conv3d(1, 4, 1), "--input 1,1,16,112,112 or"),
        (
            nn.Embedding(9, 4),
            "--input 1,128:int64 or input=torch.zeros((1, 128), dtype=torch.int64)",
        ),
        (nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 5)), "--input 1,128:int64 or"),
        (nn.LSTM(6, 4), "--input 1,128,6 or"),
        (nn.TransformerEncoderLayer(16, 2), "--input 1,128,16 or"),
        (nn.Linear(7, 4), "--input 1,7 or input=(1, 7)"),
        (nn.ReLU(), "--input 1,3,224,224 or"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_the_example_fits_the_model(model: nn.Module, example: str) -> None:
    assert f"{type(model).__name__} does not state its input: give it with {example}" in refused(
        model
    )


def test_the_example_for_a_class_fits_too_and_names_what_its_forward_takes(models: Models) -> None:
    path = models(
        """
        class Two(nn.Module):
            def __init__(self, words=9): super().__init__(); self.e = nn.Embedding(words, 4)
            def forward(self, ids, lengths, mask=None): return self.e(ids)
        def two(): return Two()
        """
    )
    for name in ("Two", "two"):
        told = refused(f"{path}:{name}")
        assert "--input 1,128:int64 or" in told
        assert told.endswith("; its forward takes ids and lengths")


@pytest.mark.parametrize(
    ("function", "given", "hint"),
    [
        (
            lambda x: nn.functional.embedding(x, torch.ones(9, 4)),
            (1, 7),
            "(integers are given as --input 1,7:int64)",
        ),
        (lambda x: torch.ones(9, 4)[x], (2, 3), "(integers are given as --input 2,3:int64)"),
        (
            lambda x: torch.gather(torch.ones(9, 4), 0, x),
            {"x": (2, 4)},
            "(integers are given as --input x=2,4:int64)",
        ),
        (lambda x: nn.functional.one_hot(x), (5,), "(integers are given as --input 5:int64)"),
        (
            lambda x, y: torch.take(y, x),
            ((5,), (9,)),
            "(integers are given with :int64 behind their shape)",
        ),
        (
            lambda x: torch.ones(9, 4).scatter(0, x, 1.0),
            (1, 4),
            "(integers are given as --input 1,4:int64)",
        ),
    ],
)
def test_an_error_about_indices_says_how_integers_are_given(
    function: Callable[..., Any], given: Any, hint: str
) -> None:
    class Calls(nn.Module):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    assert refused(Calls(), input=given).endswith(hint)


def test_other_errors_have_no_such_hint() -> None:
    assert "integers" not in refused(nn.Linear(3, 4), input=(1, 5))
    assert "integers" not in refused(
        nn.Embedding(3, 4), input=torch.zeros(1, 5, dtype=torch.complex64)
    )


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"imge": (1, 3)}, "unexpected keyword argument 'imge' (did you mean 'image'?)"),
        (
            {"image": (1, 3), "msk": (1, 3)},
            "unexpected keyword argument 'msk' (did you mean 'mask'?)",
        ),
        ({"zzz": (1, 3)}, "unexpected keyword argument 'zzz' (its inputs are image, mask)"),
        ({"mask": (1, 3)}, "missing 1 required positional argument: 'image'"),
    ],
)
def test_a_name_that_a_forward_does_not_know_gets_the_nearest_one(given: Any, hint: str) -> None:
    class Named(nn.Module):
        def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
            return image

    assert refused(Named(), input=given).endswith(hint)


def test_a_forward_that_takes_any_name_is_given_no_suggestion() -> None:
    class TakesAnything(nn.Module):
        def forward(self, image: Tensor | None = None, **more: Tensor) -> Tensor:
            return more["mask"].no_such_thing  # type: ignore[no-any-return]

    assert "did you mean" not in refused(TakesAnything(), input={"imge": (1, 3), "mask": (1,)})


def test_a_dtype_is_that_of_given_tensors_too(models: Models) -> None:
    path = models("")
    x = torch.zeros(1, 3, 5, 5)
    report = dscost.analyze(f"{path}:make", input=x, dtype="bfloat16")
    assert report == dscost.analyze(f"{path}:make", input=(1, 3, 5, 5), dtype="bfloat16")
    assert x.dtype is torch.float32
    assert "unknown dtype 'flot32' (did you mean 'float" in refused(
        nn.Conv2d(3, 4, 1), input=x, dtype="flot32"
    )
    assert "should be the same" in refused(nn.Conv2d(3, 4, 1), input={"input": x}, dtype="bfloat16")
    ids = dscost.analyze(nn.Embedding(9, 4), input=torch.zeros(1, 7).long(), dtype="float16")
    assert ids.inputs == (((1, 7), "int64"),)


# -- arguments that are missing


@pytest.mark.parametrize(
    ("name", "kwargs", "told"),
    [
        (
            "Needs",
            {},
            "missing 2 required positional arguments: 'width' and 'depth' (give it with --kwargs width=... ",
        ),
        (
            "Needs",
            {"width": 3},
            "missing 1 required positional argument: 'depth' (give it with --kwargs depth=...)",
        ),
        (
            "Needs",
            {"widht": 3},
            "got an unexpected keyword argument 'widht' (did you mean 'width'?)",
        ),
        (
            "Needs",
            {"zzz": 3},
            "got an unexpected keyword argument 'zzz' (it takes width, depth, act)",
        ),
        (
            "Typed",
            {},
            "missing 1 required positional argument: 'config' (give it with --kwargs config=nets:Config)",
        ),
        ("make", {"zzz": 3}, "got an unexpected keyword argument 'zzz' (it takes no arguments)"),
    ],
)
def test_a_missing_argument_is_named_with_how_to_give_it(
    models: Models, name: str, kwargs: Mapping[str, Any], told: str
) -> None:
    path = models(
        """
        class Config:
            width = 4
        class Needs(nn.Module):
            def __init__(self, width, depth, act=None): super().__init__()
        class Typed(nn.Module):
            def __init__(self, config: Config): super().__init__()
        """
    )
    for given in (
        (1, 3, 5, 5),
        None,
    ):  # a class is refused for the same reason where it would be refused for both
        found = refused(f"{path}:{name}", kwargs=kwargs, input=given)
        assert found.startswith(f"{path}:{name} cannot be made: TypeError: ")
        if given is not None:
            assert told in found


@pytest.mark.parametrize(
    ("name", "config", "hint"),
    [
        (
            "Typed",
            {"width": 4},
            "'dict' object has no attribute 'width' (config is a mapping; an object is --kwargs config=nets:Config, "
            "a part of it config.PART=VALUE)",
        ),
        (
            "Untyped",
            "large",
            "'str' object has no attribute 'width' (config is text; an object is --kwargs config=package.module:Class, "
            "a part of it config.PART=VALUE)",
        ),
        ("Untyped", 3, "'int' object has no attribute 'width'"),
        ("Other", {"width": 4}, "'dict' object has no attribute 'depth'"),
    ],
)
def test_a_mapping_or_text_in_place_of_an_object_is_told(
    models: Models, name: str, config: Any, hint: str
) -> None:
    path = models(
        """
        class Config:
            width = 4
        class Typed(nn.Module):
            def __init__(self, config: Config):
                super().__init__()
                self.width = config.width
        class Untyped(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.width = config.width
        class Other(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.depth = {}.depth
        """
    )
    found = refused(f"{path}:{name}", kwargs={"config": config}, input=(1, 3))
    assert found == f"{path}:{name} cannot be made: AttributeError: {hint}"


# -- values, and batches as loaders give them


class Sample(NamedTuple):
    image: Tensor
    name: str


@dataclass(frozen=True)
class Batch:
    image: Tensor
    names: list[str]
    size: tuple[int, int] = (480, 640)


class Takes(nn.Module):
    """Runs a layer over what a function finds in its arguments."""

    def __init__(self, find: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layer, self.find = nn.Linear(8, 3), find

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer(self.find(*args, **kwargs))


X = torch.ones(2, 8)


def checked(name: str) -> str:
    assert name == "cat", name
    return name


@pytest.mark.parametrize(
    ("find", "given"),
    [
        (lambda batch: batch[0]["image"], [[{"image": X, "meta": "x"}]]),
        (lambda one: one["image"], [{"image": X, "meta": "x"}]),
        (lambda image, meta: image, {"image": X, "meta": "x"}),
        (lambda image, meta: image, {"image": (2, 8), "meta": "x"}),
        (lambda image, meta: image, (X, "x")),
        (
            lambda one: one["image"] * (one["size"] == (480, 640)),
            [{"image": X, "size": (480, 640), "id": 3, "n": None}],
        ),
        (
            lambda one: one["image"],
            [{"image": X, "raw": b"x", "tags": ["a", "b"], "score": 0.5, "ok": True}],
        ),
        (lambda one: one.image * bool(checked(one.name)), (Sample(X, "cat"),)),
        (lambda one: one.image * (one.size[0] == 480), (Batch(X, ["a"]),)),
        (lambda one: one["image"] * (one["nothing"] == []), (defaultdict(list, {"image": X}),)),
        (lambda one: one["image"] * isinstance(one, OrderedDict), (OrderedDict(image=X),)),
        (lambda images, names: images[0], ([X], ["cat"])),
        (lambda batch: batch[0]["image"], [[{"image": (2, 8), "meta": "x"}]]),
        (
            lambda one: one["image"] * (one["meta"]["size"] == [480, 640]),
            [{"image": X, "meta": {"file": "x.png", "size": [480, 640]}}],
        ),
    ],
)
def test_what_stands_beside_tensors_is_passed_on(find: Callable[..., Tensor], given: Any) -> None:
    report = dscost.analyze(Takes(find), input=given)
    assert report.totals.as_is.macs == 2 * 8 * 3
    assert [entry.shape for entry in report.inputs] == [(2, 8)]
    assert not any("for real" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    "given", ["1,3", ["1,3"], [["a photo"]], {"x": "1,3"}, ("1,8", 3)], ids=repr
)
def test_texts_alone_are_no_input(given: Any) -> None:
    assert refused(Takes(lambda x: x), input=given).startswith(
        "an input is a shape, a tensor, or a tuple or dict of"
    )


def test_another_batch_and_dtype_keep_values_and_kinds() -> None:
    given = {
        "lengths": parse_input("2:int64=[200, 180]"),
        "mask": parse_input("2,3:bool=false"),
        "scale": parse_input("():float32=0.5"),
        "one": Sample(torch.arange(4.0).reshape(2, 2), "cat"),
        "batch": Batch(torch.ones(2, 1), ["a", "b"]),
    }
    arguments = arguments_of(given).with_batch(3)
    kwargs = arguments.with_values(device="cpu", dtype="float64", memory_format="contiguous").kwargs
    assert kwargs["lengths"].tolist() == [200, 180, 200]
    assert kwargs["mask"].tolist() == [[False] * 3] * 3
    assert (kwargs["scale"].item(), kwargs["scale"].shape, kwargs["scale"].dtype) == (
        0.5,
        (),
        torch.float64,
    )
    assert isinstance(kwargs["one"], Sample)
    assert kwargs["one"].image.tolist() == [[0, 1], [2, 3], [0, 1]]
    assert kwargs["batch"] == Batch(kwargs["batch"].image, ["a", "b"])
    assert kwargs["batch"].image.shape == (3, 1)
    assert all(tensor.is_meta for tensor in arguments.on("meta").tensors)
    assert given["one"].image.shape == (2, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "values", "dtype"),
    [
        ("3:int64=0..2", [0, 1, 2], torch.int64),
        ("2,3:int64=0..2", [[0, 1, 2], [0, 1, 2]], torch.int64),
        ("2,2:int64=0..3", [[0, 1], [2, 3]], torch.int64),
        ("3:uint8=255", [255, 255, 255], torch.uint8),
        ("2:bool=[true, false]", [True, False], torch.bool),
        ("1:complex64=2", [2 + 0j], torch.complex64),
        ("2:bfloat16=-0.5", [-0.5, -0.5], torch.bfloat16),
        ("2=-inf", [float("-inf")] * 2, torch.float32),
        ("():int64=7", 7, torch.int64),
        ("1:int64=9007199254740993", [9007199254740993], torch.int64),  # not by way of a float
    ],
)
def test_a_tensor_has_the_values_that_are_written(
    text: str, values: Any, dtype: torch.dtype
) -> None:
    (made,) = arguments_of((parse_input(text),)).on("cpu").args
    assert (made.tolist(), made.dtype) == (values, dtype)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: Tensor, lengths: Tensor | None = None, mask: Tensor | None = None) -> Any:
        if lengths is not None:
            assert x.shape[1] == int(lengths.max()), "lengths do not fit"
        if mask is not None:
            x = x[mask]
        return self.layer(x)


def test_values_reach_a_model_that_looks_at_them() -> None:
    report = dscost.analyze(Masked(), input=parse_inputs(["1,20,8", "lengths=1:int64=20"]))
    assert report.totals.as_is.macs == 20 * 8 * 3
    assert "lengths do not fit" in refused(
        Masked(), input=parse_inputs(["1,20,8", "lengths=1:int64"])
    )


def test_truth_values_are_true_where_nothing_is_said_and_that_is_said() -> None:
    report = dscost.analyze(Masked(), input=parse_inputs(["2,20,8", "mask=2,20:bool"]))
    assert report.totals.as_is.macs == 2 * 20 * 8 * 3
    assert report.warnings == ("No values were given for mask: taken as hiding nothing.",)
    report = dscost.analyze(
        Takes(lambda x, flags: x * flags.all()), input=parse_inputs(["2,8", "flags=2:bool"])
    )
    assert ALL_TRUE in report.warnings
    report = dscost.analyze(Masked(), input=parse_inputs(["2,20,8", "mask=2,20:bool=true"]))
    assert report.totals.as_is.macs == 2 * 20 * 8 * 3
    assert ALL_TRUE not in report.warnings
    half = f"mask=2,20:bool=[{', '.join(['true'] * 5 + ['false'] * 15)}]"
    assert (
        dscost.analyze(Masked(), input=parse_inputs(["2,20,8", half])).totals.as_is.macs
        == 2 * 5 * 8 * 3
    )


def test_an_architecture_takes_no_values() -> None:
    with pytest.raises(
        InputError, match="counted by the shape of its input alone, found '1,3,64,64=1'"
    ):
        dscost.analyze("resnet18", input=parse_inputs(["1,3,64,64=1"]))


def test_a_batch_of_nothing_cannot_become_another() -> None:
    with pytest.raises(InputError, match="batch 0 cannot be given another batch"):
        arguments_of(torch.ones(0, 3)).with_batch(2)


def test_a_batch_may_become_one_row_but_not_none() -> None:
    arguments = arguments_of(torch.arange(4.0).reshape(2, 2))
    assert arguments.with_batch(1).tensors[0].tolist() == [[0, 1]]
    with pytest.raises(InputError, match="batch must be at least 1, found 0"):
        arguments.with_batch(0)
