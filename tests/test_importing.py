"""Code of users that is imported: packages, namesakes, and what stays behind."""

import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from program import start

import dscost
from dscost.analysis import Request, count
from dscost.errors import DscostError, InputError, UnavailableError
from dscost.notation.literals import Reference
from dscost.sources import ModuleSource, find_source, importing, mending

Write = Callable[..., Path]
NET = """
from torch import nn
from .blocks import Block, WIDTH

class Net(nn.Module):
    def __init__(self, norm=True):
        super().__init__()
        self.conv = Block(3, WIDTH, 1)
        self.norm = nn.BatchNorm2d(WIDTH) if norm is not None else None

    def forward(self, x):
        x = self.conv(x)
        return x if self.norm is None else self.norm(x)
"""
BLOCKS = "from torch import nn\nWIDTH = {width}\nclass Block(nn.Conv2d): pass\n"
PLAIN = "from torch import nn\nfrom {module} import WIDTH\ndef make():\n    return nn.Conv2d(3, WIDTH, 1)\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str = "", **given: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text.format(**given) if given else text), encoding="utf-8")
        return path

    return write


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what working directories leave, and see that paths and modules are as before."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(importing, "_left", {})
    monkeypatch.setattr(importing, "_left_folders", set())
    finders = list(sys.meta_path)
    yield
    assert sys.meta_path == finders
    for name in ("net", "nets", "blocks", "pkg", "pkg.blocks", "models", "common"):
        sys.modules.pop(name, None)


def width_of(
    target: object,
    input: Any = (1, 3, 4, 4),
    kwargs: Any = None,
    folder: Path | None = None,
) -> int:
    counted = count(str(target), Request(input, kwargs=kwargs), folder=folder)
    macs = counted.report.totals.as_is.macs
    assert macs % (16 * 3) == 0
    return macs // (16 * 3)


def refused(target: object, **options: Any) -> str:
    with pytest.raises(DscostError) as caught:
        width_of(target, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# -- files of packages


@pytest.mark.parametrize(
    "has_init", [True, False], ids=["a package", "a folder without __init__.py"]
)
def test_a_file_that_imports_relatively_is_part_of_its_package(
    write: Write, has_init: bool
) -> None:
    path = write("pkg/net.py", NET)
    write("pkg/blocks.py", BLOCKS, width=6)
    if has_init:
        write("pkg/__init__.py")
    report = dscost.analyze(f"{path}:Net", input=(1, 3, 4, 4))
    assert report.totals.as_is.macs == 16 * 3 * 6
    assert (report.target, report.source) == (f"{path}:Net", "file")


def test_arguments_reach_a_factory_in_a_package(write: Write) -> None:
    path = write("pkg/net.py", NET)
    write("pkg/blocks.py", BLOCKS, width=6)
    params = dscost.analyze(
        f"{path}:Net", input=(1, 3, 4, 4), kwargs={"norm": None}
    ).totals.as_is.params
    assert params == 3 * 6 + 6


@pytest.mark.parametrize(
    ("file", "statement", "held"),
    [
        ("pkg/models/net.py", "from ..common import WIDTH", "pkg/common.py"),
        ("pkg/models/net.py", "from .. import common\nWIDTH = common.WIDTH", "pkg/common.py"),
        ("pkg/models/net.py", "from ...common import WIDTH", "common.py"),
        ("pkg/models/net.py", "from . import common\nWIDTH = common.WIDTH", "pkg/models/common.py"),
        ("pkg/models/net.py", "from pkg.common import WIDTH", "pkg/common.py"),
        ("pkg/models/net.py", "from pkg import common\nWIDTH = common.WIDTH", "pkg/common.py"),
        (
            "pkg/models/net.py",
            "import pkg.models.common as common\nWIDTH = common.WIDTH",
            "pkg/models/common.py",
        ),
        ("pkg/models/net.py", "from models.common import WIDTH", "pkg/models/common.py"),
        ("pkg/__init__.py", "from .common import WIDTH", "pkg/common.py"),
        ("v1.0/net.py", "from .common import WIDTH", "v1.0/common.py"),
        ("my-nets/net.py", "from .common import WIDTH", "my-nets/common.py"),
    ],
)
@pytest.mark.parametrize("has_init", [True, False], ids=["packages", "bare folders"])
def test_a_file_finds_what_it_imports_however_it_is_written(
    write: Write, tmp_path: Path, file: str, statement: str, held: str, has_init: bool
) -> None:
    path = write(
        file, f"from torch import nn\n{statement}\ndef make():\n    return nn.Conv2d(3, WIDTH, 1)\n"
    )
    if has_init and "." not in path.parent.name and "models.common" not in statement:
        for folder in (tmp_path / "pkg", tmp_path / "pkg/models"):
            if folder.is_dir() and not (folder / "__init__.py").exists():
                (folder / "__init__.py").touch()
    write(held, "WIDTH = 7\n")
    assert width_of(f"{path}:make") == 7


@pytest.mark.parametrize(
    "inits", [(), ("src/pkg", "src/pkg/models", "src/pkg/ops", "utils", "models")]
)
@pytest.mark.parametrize(
    ("file", "statement", "files"),
    [
        (
            "src/pkg/models/net.py",
            "from .blocks import WIDTH",
            {"src/pkg/models/blocks.py": "from pkg.ops.wide import WIDTH"}
            | {"src/pkg/ops/wide.py": "WIDTH = 6"},
        ),
        (
            "src/pkg/models/net.py",
            "from .blocks import WIDTH\nfrom ..ops.wide import WIDTH as _",
            {"src/pkg/models/blocks.py": "from ..ops.wide import WIDTH"}
            | {"src/pkg/ops/wide.py": "WIDTH = 6"},
        ),
        ("models/net.py", "from utils.wide import WIDTH", {"utils/wide.py": "WIDTH = 6"}),
        ("models/net.py", "from settings import WIDTH", {"settings.py": "WIDTH = 6"}),
        (
            "models/net.py",
            "from .blocks import WIDTH",
            {
                "models/blocks.py": "from utils.wide import WIDTH",
                "utils/wide.py": "from settings import WIDTH",
            }
            | {"settings.py": "WIDTH = 6"},
        ),
    ],
)
def test_a_file_finds_what_lies_above_it_wherever_it_is_run_from(
    write: Write,
    inits: tuple[str, ...],
    file: str,
    statement: str,
    files: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = f"from torch import nn\n{statement}\ndef make():\n    return nn.Conv2d(3, WIDTH, 1)\n"
    path = write(file, code)
    for name, text in files.items():
        write(name, text)
    for folder in inits:
        if (path.parents[len(Path(file).parts) - 1] / folder).is_dir():
            write(f"{folder}/__init__.py")
    monkeypatch.chdir("/")
    before = set(sys.modules)
    assert width_of(f"{path}:make") == 6
    assert not {"utils", "settings", "models", "pkg"} & (set(sys.modules) - before)


def test_a_module_is_found_in_the_src_of_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("src/inside/net.py", PLAIN, module=".wide")
    write("src/inside/wide.py", "WIDTH = 6")
    write("src/inside/__init__.py")
    assert width_of("inside.net:make", folder=tmp_path) == 6
    monkeypatch.chdir(tmp_path)
    assert width_of("inside.net:make") == 6
    for name in ("inside", "inside.net", "inside.wide"):
        del sys.modules[name]


def test_a_folder_of_data_does_not_pass_for_a_library_that_is_missing(write: Write) -> None:
    path = write("code/net.py", PLAIN, module="a_library_that_nobody_has")
    write("a_library_that_nobody_has/list.csv")
    assert refused(f"{path}:make").endswith("No module named 'a_library_that_nobody_has'")


@pytest.mark.parametrize("folder", ["torch", "random", "numpy", "dscost"])
@pytest.mark.parametrize("has_init", [True, False], ids=["packages", "bare folders"])
def test_a_folder_called_like_a_library_does_not_take_its_place(
    write: Write, folder: str, has_init: bool
) -> None:
    text = "import random, torch\nfrom torch import nn\n{}def make():\n    return nn.Conv2d(3, {}, 1)\n"
    if has_init:
        write(f"{folder}/__init__.py")
    write(f"{folder}/blocks.py", "WIDTH = 8\n")
    assert width_of(f"{write(f'{folder}/plain.py', text.format('', 4))}:make") == 4
    relative = write(f"{folder}/relative.py", text.format("from .blocks import WIDTH\n", "WIDTH"))
    assert width_of(f"{relative}:make") == 8
    assert hasattr(sys.modules["torch"], "Tensor")


def test_a_neighbour_may_reach_further_up_than_the_file_itself(write: Write) -> None:
    path = write(
        "a/b/net.py",
        "from torch import nn\nfrom .part import WIDTH\ndef make(): return nn.Conv2d(3, WIDTH, 1)",
    )
    write("a/b/part.py", "from ..common import WIDTH\n")
    write("a/common.py", "WIDTH = 5\n")
    assert width_of(f"{path}:make") == 5


def test_a_relative_import_in_a_function_or_a_forward_is_seen_too(write: Write) -> None:
    path = write(
        "pkg/net.py",
        """
        from torch import nn
        class Net(nn.Conv2d):
            def __init__(self):
                from .blocks import WIDTH
                super().__init__(3, WIDTH, 1)
            def forward(self, x):
                from .late import changed
                return super().forward(changed(x))
        """,
    )
    write("pkg/blocks.py", "WIDTH = 3\n")
    write("pkg/late.py", "def changed(x): return x\n")
    assert width_of(f"{path}:Net") == 3


def test_a_script_in_a_package_stays_a_script(write: Write) -> None:
    """Its package may not even be importable."""
    write("pkg/__init__.py", "import a_library_that_nobody_has\n")
    write("pkg/blocks.py", "WIDTH = 4\n")
    assert width_of(f"{write('pkg/net.py', PLAIN, module='blocks')}:make") == 4


def test_a_package_that_cannot_be_imported_is_told_with_the_reason(write: Write) -> None:
    write("pkg/__init__.py", "import a_library_that_nobody_has\n")
    write("pkg/blocks.py", BLOCKS, width=4)
    path = write("pkg/net.py", NET)
    assert refused(f"{path}:Net") == (
        f"{path}:Net: running {path} failed: ModuleNotFoundError: No module named 'a_library_that_nobody_has'"
    )


def test_a_relative_import_beyond_every_folder_is_refused(write: Write) -> None:
    path = write("net.py", f"from {'.' * 40}x import y\n")
    assert refused(f"{path}:make").startswith(f"{path}:make: running {path} failed: ")


def test_the_path_of_a_module_written_with_slashes_is_told_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("pkg/net.py", NET)
    monkeypatch.chdir(tmp_path)
    assert refused("pkg/net:Net").endswith(
        "there is no module 'pkg/net'; pkg/net.py is a file: write pkg/net.py:NAME"
    )


# -- namesakes


@pytest.mark.parametrize("file", ["{}/net.py", "{}/pkg/net.py", "{}/torch/net.py"])
def test_files_of_one_name_have_their_own_neighbours(write: Write, file: str) -> None:
    text = NET if file.count("/") == 2 else NET.replace(".blocks", "blocks")
    for width in (4, 9):
        write(file.format(width), text)
        write(file.format(width).replace("net.py", "blocks.py"), BLOCKS, width=width)
    place = Path(write("x.py").parent)
    for width in (4, 9, 4):
        assert width_of(f"{place / file.format(width)}:Net") == width


def test_nothing_stays_on_the_path_or_among_the_modules(write: Write) -> None:
    path = write("pkg/net.py", NET)
    write("pkg/blocks.py", BLOCKS, width=6)
    script = write(
        "script/net.py",
        "import sys\nsys.path.insert(0, __file__[:-6] + 'more')\n" + PLAIN.format(module="far"),
    )
    write("script/more/far.py", "WIDTH = 2\n")
    before, modules = list(sys.path), set(sys.modules)
    assert width_of(f"{path}:Net") == 6
    assert width_of(f"{script}:make") == 2
    assert sys.path == before
    left = {name for name in set(sys.modules) - modules if not name.startswith("dscost_target_")}
    assert not {name for name in left if name.partition(".")[0] in ("pkg", "blocks", "net", "far")}


def test_folders_elsewhere_that_code_puts_on_the_path_stay_before_all_others(write: Write) -> None:
    folders = [str(write(f"{name}/far_{name}.py", "WIDTH = 2\n").parent) for name in ("one", "two")]
    script = write(
        "script/net.py", f"import sys\nsys.path[:0] = {folders}\n" + PLAIN.format(module="far_two")
    )
    before = list(sys.path)
    assert width_of(f"{script}:make") == 2
    assert sys.path == [*folders, *before]


def test_a_module_that_the_program_has_does_not_take_the_place_of_a_neighbour(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = ModuleType("blocks")
    stranger.__file__ = "/elsewhere/blocks.py"
    stranger.WIDTH = 99  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "blocks", stranger)
    write("blocks.py", "WIDTH = 4\n")
    assert width_of(f"{write('net.py', PLAIN, module='blocks')}:make") == 4
    assert sys.modules["blocks"] is stranger


def test_a_file_that_is_called_like_a_library_does_not_take_its_place(write: Write) -> None:
    write("torch.py", "raise RuntimeError('not the real one')\n")
    write("random.py", "raise RuntimeError('not the real one')\n")
    path = write(
        "net.py",
        "import random, torch\nfrom torch import nn\ndef make(): return nn.Conv2d(3, 4, 1)\n",
    )
    assert width_of(f"{path}:make") == 4
    assert sys.modules["torch"].__file__ != str(path.parent / "torch.py")


def test_a_neighbour_is_one_module_while_the_file_runs_and_while_its_factory_does(
    write: Write,
) -> None:
    write("blocks.py", "made = []\n")
    path = write(
        "net.py",
        """
        import blocks
        from torch import nn
        def make():
            import blocks as again
            assert again is blocks
            return nn.Conv2d(3, 4, 1)
        """,
    )
    assert width_of(f"{path}:make") == 4


def test_a_forward_may_import_a_neighbour(write: Write) -> None:
    write("blocks.py", "def same(x): return x\n")
    path = write(
        "net.py",
        """
        from torch import nn
        class Net(nn.Conv2d):
            def __init__(self): super().__init__(3, 4, 1)
            def forward(self, x):
                import blocks
                return super().forward(blocks.same(x))
        """,
    )
    assert width_of(f"{path}:Net") == 4


# -- modules from a budget's folder


def test_a_module_is_sought_in_the_folder_that_is_given_before_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, width in (("one", 4), ("two", 9)):
        write(f"{folder}/nets.py", PLAIN, module="blocks")
        write(f"{folder}/blocks.py", BLOCKS, width=width)
    monkeypatch.chdir(tmp_path / "two")
    assert width_of("nets:make") == 9
    assert width_of("nets:make", folder=tmp_path / "one") == 4
    assert width_of("nets:make", folder=tmp_path / "two") == 9
    monkeypatch.chdir(tmp_path / "one")
    assert width_of("nets:make") == 4


def test_what_a_folder_does_not_have_is_not_found_in_another_one_before(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("one/nets.py", PLAIN, module="blocks")
    write("one/blocks.py", BLOCKS, width=4)
    write("two/other.py", "")
    monkeypatch.chdir(tmp_path / "one")
    assert width_of("nets:make") == 4
    monkeypatch.chdir(tmp_path / "two")
    assert "there is no module 'nets'" in refused("nets:make")
    assert "there is no module 'nets'" in refused("nets:make", folder=tmp_path)
    assert width_of("nets:make", folder=tmp_path / "one") == 4


def test_a_file_is_sought_in_the_folder_that_is_given_first(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, width in (("one", 4), ("two", 9)):
        write(f"{folder}/net.py", PLAIN, module="blocks")
        write(f"{folder}/blocks.py", BLOCKS, width=width)
        write(
            f"{folder}/net.yaml",
            f"input: [3, 4, 4]\nlayers: [{{conv: 1, out_channels: {width}}}]\n",
        )
    monkeypatch.chdir(tmp_path / "two")
    for target in ("net.py:make", "net.yaml"):
        assert width_of(target) == 9
        assert width_of(target, folder=tmp_path / "one") == 4
        assert width_of(target, folder=tmp_path) == 9


# -- packages that import late, or not at all


LATE = """
import sys, types
class Late(types.ModuleType):
    def __getattr__(self, name):
        if name == "Absent":
            try:
                raise RuntimeError("operator far::away does not exist")
            except RuntimeError as error:
                raise ModuleNotFoundError("Could not import module 'Absent'.") from error
        if name == "Broken":
            raise OSError("no such library\\nand more")
        raise AttributeError(name)
    def __dir__(self): return ["Absent", "Broken"]
sys.modules[__name__] = Late(__name__)
"""


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "Absent",
            UnavailableError,
            "late_package:Absent: importing Absent failed: ModuleNotFoundError: Could not import module 'Absent'. "
            "(since RuntimeError: operator far::away does not exist)",
        ),
        (
            "Broken",
            InputError,
            "late_package:Broken: importing Broken failed: OSError: no such library",
        ),
        ("Absnt", InputError, "late_package:Absnt: there is no 'Absnt' (did you mean 'Absent'?)"),
    ],
)
def test_a_name_that_is_imported_when_asked_for_tells_why_it_cannot_be(
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: type[Exception],
    message: str,
) -> None:
    write("late_package.py", LATE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        width_of(f"late_package:{name}")
    assert str(caught.value) == message
    sys.modules.pop("late_package", None)


TORCHVISION = {
    "torchvision/__init__.py": "import builtins\nfrom . import extension\n"
    "if not builtins.__dict__.get('dscost_test_ops'):\n"
    "    raise RuntimeError('operator torchvision::nms does not exist')\n"
    "from torch import nn\nclass Net(nn.Conv2d):\n    def __init__(self, width=4): super().__init__(3, width, 1)\n",
    "torchvision/extension.py": "def _has_ops(): return False\n",
    "torchvision/ops/__init__.py": "",
    "torchvision/ops/roi_align.py": "def _has_ops(): return False\n",
    "user.py": "import torchvision\ndef make(): return torchvision.Net(6)\n",
    "late.py": "def make():\n    import torchvision\n    return torchvision.Net(7)\n",
}


@pytest.mark.parametrize(
    ("target", "width"),
    [("{}/user.py:make", 6), ("torchvision:Net", 0), ("user:make", 6), ("{}/late.py:make", 7)],
)
def test_a_torchvision_without_its_operators_can_be_imported_by_every_kind_of_target(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, width: int
) -> None:
    import builtins

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    for name, text in TORCHVISION.items():
        write(name, text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(mending, "_library", [])

    def define() -> None:
        monkeypatch.setattr(builtins, "dscost_test_ops", True, raising=False)
        mending._library.append("operators")

    monkeypatch.setattr(mending, "_define_operators", define)
    try:
        if width:
            source = find_source(target.format(tmp_path))
            assert isinstance(source, ModuleSource)
            assert sum(one.numel() for one in source.module.parameters()) == width * 4
        else:  # as the zoo imports it
            mending.import_torchvision()
            assert sys.modules["torchvision.extension"]._has_ops()
        assert mending.is_stood_in()
    finally:
        for name in [
            name for name in sys.modules if name.partition(".")[0] in ("torchvision", "user")
        ]:
            del sys.modules[name]


def test_another_error_of_torchvision_is_told(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "_library", [])  # of what another test imported
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    write(
        "torchvision/__init__.py",
        "raise RuntimeError('Detected that PyTorch and torchvision differ')\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        UnavailableError, match="torchvision cannot be imported: RuntimeError: Detected"
    ):
        mending.import_torchvision()
    assert not mending.is_stood_in()


def test_importing_again_after_a_fork_does_not_wait_for_a_thread_that_is_not_there() -> None:
    before = importing._turns
    importing._new_turns()
    assert importing._turns is not before
    with importing.World().entered():
        pass


def test_an_argument_may_name_what_the_file_has(write: Write) -> None:
    path = write(
        "net.py",
        """
        from torch import nn
        class Config:
            def __init__(self, width=4): self.width = width
        class Net(nn.Conv2d):
            def __init__(self, config: Config):
                assert isinstance(config, Config)
                super().__init__(3, config.width, 1)
        """,
    )
    config = Reference("net", "Config")
    assert width_of(f"{path}:Net", kwargs={"config": config}) == 4
    assert width_of(f"{path}:Net", kwargs={"config": config._replace(parts={"width": 7})}) == 7
    assert refused(f"{path}:Net").endswith("'config' (give it with --kwargs config=net:Config)")


def test_targets_of_several_threads_do_not_meet(write: Write) -> None:
    for width in range(4, 8):
        write(f"{width}/net.py", PLAIN, module="blocks")
        write(f"{width}/blocks.py", BLOCKS, width=width)
    place = write("x.py").parent
    with ThreadPoolExecutor(4) as pool:
        widths = list(
            pool.map(lambda width: width_of(f"{place}/{width}/net.py:make"), [4, 5, 6, 7] * 4)
        )
    assert widths == [4, 5, 6, 7] * 4


def test_a_module_is_sought_among_what_is_installed_where_the_working_directory_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    kwargs = {"in_channels": 3, "out_channels": 5, "kernel_size": 1}
    assert width_of("torch.nn:Conv2d", kwargs=kwargs) == 5


# -- what an import says


def test_an_import_that_fails_in_its_own_words_is_told_in_these(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write("nets.py", "raise ModuleNotFoundError('build the extension first')").parent
    monkeypatch.chdir(folder)
    words = "importing nets failed: ModuleNotFoundError: build the extension first"
    assert refused("nets:make") == f"nets:make: {words}"
    write("models.py", "from torch import nn\ndef make(act): return nn.Conv2d(3, 4, 1)\n")
    argument = {"act": Reference("nets", "Act")}
    assert refused("models.py:make", kwargs=argument).endswith(f"nets:Act: {words}")


def test_a_name_whose_import_error_was_raised_from_itself_is_told(write: Write) -> None:
    text = (
        "def __getattr__(name):\n    error = ImportError('no wheel')\n    raise error from error\n"
    )
    assert refused(f"{write('nets.py', text)}:make").endswith(
        "importing make failed: ImportError: no wheel"
    )


def test_code_that_lowers_the_recursion_limit_does_not_take_it_from_us(tmp_path: Path) -> None:
    (tmp_path / "low.py").write_text(
        "import sys\nfrom torch import nn\ndef make():\n    sys.setrecursionlimit(60)\n    return nn.Conv2d(3, 8, 3)\n",
        encoding="utf-8",
    )
    command = "model low.py:make --input 1,3,8,8 --no-time --json"
    ran = start(*command.split(), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["subjects"][0]["totals"]["as_is"]["macs"] == 36 * 8 * 27
