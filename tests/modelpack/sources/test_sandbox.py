"""The process that opens a stranger's model can do nothing but read it, and whatever ends it is told in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import hostile
import numpy as np
import onnx
import pytest
from given import Given, answered
from onnx import TensorProto, helper

import modelpack
from modelpack.errors import BadInput
from modelpack.sources.base import open_model
from modelpack.sources.onnx import Onnx
from modelpack.sources.sandbox import kernel
from modelpack.sources.sandbox.process import printable, take_answer
from modelpack.sources.taking import take

PROGRAM = """
import ctypes, json, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from modelpack.sources.sandbox.confine import ChildLimits, confine
folder, model, secret, other, attempt = sys.argv[2:]
lacking = confine(Path(folder), [Path(model)], Path(sys.argv[1]), ChildLimits(10**9, 10**6, 20))
os.chdir(folder)
libc = ctypes.CDLL(None, use_errno=True)

def call(*arguments):
    "A system call that Python's audit hook does not see."
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

try:
    exec(attempt)
except (OSError, MemoryError, ValueError) as error:
    print(json.dumps([type(error).__name__, lacking]))
else:
    print(json.dumps(["done", lacking]))
"""
BY_PYTHON = {
    "write elsewhere": "open(other, 'w')",
    "append to the model": "open(model, 'a')",
    "make a folder elsewhere": "os.mkdir(other)",
    "remove the model": "os.remove(model)",
    "rename the model": "os.rename(model, 'x')",
    "link elsewhere": "os.symlink('/x', other)",
    "a socket": "__import__('socket').socket()",
    "a name looked up": "__import__('socket').getaddrinfo('localhost', 80)",
    "a program": "__import__('subprocess').run(['true'])",
    "a shell": "os.system('true')",
    "an exec": "os.execv('/bin/true', ['true'])",
    "a fork": "os.fork()",
    "a signal": "os.kill(os.getppid(), 0)",
    "memory": "bytearray(2 * 10**9)",
}
BY_THE_KERNEL = {
    "read a secret": "open(secret).read()",
    "read another process": "open(f'/proc/{os.getppid()}/environ').read()",
    "read through /proc/self/root": "open('/proc/self/root' + secret).read()",
    "list a folder": "os.listdir(os.path.dirname(secret))",
    "write elsewhere": "call(2, other.encode(), os.O_WRONLY | os.O_CREAT, 0o600)",
    "write the model": "call(2, model.encode(), os.O_WRONLY)",
    "make a fifo in its folder": "call(133, b'fifo', 0o10600, 0)",
    "remove the model": "call(87, model.encode())",
    "a socket": "call(41, 2, 1, 0)",
    "a local socket": "call(41, 1, 1, 0)",
    "a program": "call(59, b'/bin/true', None, None)",
    "a fork": "call(57)",
    "a fork by clone": "call(56, 17, 0, 0, 0, 0)",
    "a fork by clone3": "call(435, b'\\0' * 64, 64)",
    "io_uring": "call(425, 8, b'\\0' * 120)",
    "ptrace": "call(101, 16, os.getppid(), 0, 0)",
    "a signal": "call(62, os.getppid(), 0)",
    "another's memory": "call(310, os.getppid(), 0, 0, 0, 0, 0)",
    "a mount": "call(165, b'none', b'/tmp', b'tmpfs', 0, 0)",
    "a namespace": "call(272, 0x10000000)",
    "more rights": "__import__('resource').setrlimit(__import__('resource').RLIMIT_CPU, (10**6, 10**6))",
}
ALLOWED = {
    "write in its folder": "open('x', 'w').write('1'); os.mkdir('y'); os.rename('x', 'y/x'); os.remove('y/x')",
    "read the model": "assert open(model).read() == 'model'",
    "threads": "import threading; one = threading.Thread(target=int); one.start(); one.join()",
    "packages": "import numpy, onnxruntime",
}


def attempted(folder: Path, attempt: str) -> tuple[str, list[str]]:
    """How an attempt ended: "done", or the error's name; and what this machine cannot refuse."""
    for name in ("folder", "outside"):
        (folder / name).mkdir()
    (folder / "model").write_text("model")
    (folder / "outside" / "secret").write_text("secret")
    places = [
        folder / "folder",
        folder / "model",
        folder / "outside" / "secret",
        folder / "outside" / "other",
    ]
    root = Path(modelpack.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", PROGRAM, str(root), *map(str, places), attempt],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "model").read_text() == "model"
    assert [one.name for one in (folder / "outside").iterdir()] == ["secret"]
    found, lacking = json.loads(done.stdout)
    return found, lacking


@pytest.mark.parametrize("name", BY_PYTHON)
def test_python_code_is_refused(tmp_path: Path, name: str) -> None:
    assert attempted(tmp_path, BY_PYTHON[name])[0] in ("PermissionError", "MemoryError")


@pytest.mark.parametrize("name", BY_THE_KERNEL)
def test_native_code_is_refused(tmp_path: Path, name: str) -> None:
    """TensorFlow's own operators write files, and no audit hook of Python's sees them."""
    found, lacking = attempted(tmp_path, BY_THE_KERNEL[name])
    if lacking:
        pytest.skip("; ".join(lacking))
    assert found != "done"


@pytest.mark.parametrize("name", ALLOWED)
def test_what_reading_needs_is_allowed(tmp_path: Path, name: str) -> None:
    assert attempted(tmp_path, ALLOWED[name])[0] == "done"


def test_the_filter_names_calls_once() -> None:
    numbers = [number for numbers in kernel.REFUSED.values() for number in numbers]
    assert len(set(numbers)) == len(numbers) < 200, "a jump in a filter goes 255 steps"


class Hasty(Onnx):
    """The reader of .onnx files, with less time and memory; the child makes the real one."""

    seconds: ClassVar[int] = 3
    memory: ClassVar[int] = 500_000_000


Hasty.__module__, Hasty.__qualname__ = Onnx.__module__, Onnx.__qualname__


class Crashing(Onnx):
    """Not a reader at all: what the child calls in its place ends it with a segmentation fault."""


Crashing.__module__, Crashing.__qualname__ = "faulthandler", "_sigsegv"


def refused(reader: Onnx, path: Path) -> BadInput:
    with pytest.raises(BadInput) as caught:
        take(reader, path, (path,), Given(), path.parent / "taken", print)
    assert path.name in str(caught.value)
    assert not [one for one in path.parent.iterdir() if one.name.startswith(".reading")]
    return caught.value


def endless() -> onnx.ModelProto:
    """A Loop of 2^62 turns over a number."""
    body = helper.make_graph(
        [hostile.node("Identity", ["c"], ["d"]), hostile.node("Add", ["v", "v"], ["w2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w2", TensorProto.FLOAT, []),
        ],
    )
    constants = [
        helper.make_tensor("turns", TensorProto.INT64, [], [1 << 62]),
        helper.make_tensor("on", TensorProto.BOOL, [], [True]),
        helper.make_tensor("start", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4),
    ]
    nodes = [
        hostile.node("Loop", ["turns", "on", "start"], ["last"], body=body),
        hostile.node("MatMul", ["x", "w"], ["y"]),
        hostile.node("Add", ["y", "last"], ["p"]),
    ]
    return hostile.graph(nodes, constants)


def test_a_model_without_end_is_told(tmp_path: Path) -> None:
    error = refused(Hasty(), hostile.saved(endless(), tmp_path / "given"))
    assert "processor time" in str(error)
    assert "onnx" in error.hint


def test_a_crash_is_told(tmp_path: Path) -> None:
    error = refused(Crashing(), hostile.saved(hostile.benign_graph(), tmp_path / "given"))
    assert "SIGSEGV" in str(error)


SIZED: dict[str, list[onnx.NodeProto]] = {
    "Range": [hostile.node("Range", ["zero", "many", "one"], ["big"])],
    "ConstantOfShape": [hostile.node("ConstantOfShape", ["shape"], ["big"])],
    "Expand": [hostile.node("Expand", ["one", "shape"], ["big"])],
    "OneHot": [hostile.node("OneHot", ["list", "many", "pair"], ["big"])],
    "Pad": [hostile.node("Pad", ["list", "pads"], ["big"])],
    "RandomNormal": [hostile.node("RandomNormal", [], ["big"], shape=[3_000_000_000])],
    "Tile": [hostile.node("Tile", ["list", "shape"], ["big"])],
    "a computed shape": [
        hostile.node("Mul", ["thousands", "thousands"], ["size"]),
        hostile.node("ConstantOfShape", ["size"], ["big"]),
    ],
}
"""Operators that make 3,000,000,000 numbers of a few bytes: fewer than a model may have, more than a row may take."""
CONSTANTS = {
    "zero": (TensorProto.INT64, [], [0]),
    "one": (TensorProto.INT64, [], [1]),
    "many": (TensorProto.INT64, [], [3_000_000_000]),
    "shape": (TensorProto.INT64, [1], [3_000_000_000]),
    "list": (TensorProto.INT64, [1], [5]),
    "pair": (TensorProto.INT64, [2], [0, 1]),
    "pads": (TensorProto.INT64, [2], [0, 3_000_000_000]),
    "thousands": (TensorProto.INT64, [1], [60_000]),
}


@pytest.mark.parametrize("name", SIZED)
def test_what_grows_from_a_few_bytes_is_refused(tmp_path: Path, name: str) -> None:
    """Whatever the operator: the limit on memory looks at none by name."""
    nodes = SIZED[name]
    used = {one for node in nodes for one in node.input}
    constants = [helper.make_tensor(one, *CONSTANTS[one]) for one in CONSTANTS if one in used]
    tail = [
        hostile.node("ReduceMax", ["big"], ["most"], keepdims=0),
        hostile.node("Cast", ["most"], ["number"], to=TensorProto.FLOAT),
        hostile.node("MatMul", ["x", "w"], ["y"]),
        hostile.node("Add", ["y", "number"], ["p"]),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    path = hostile.saved(hostile.graph([*nodes, *tail], [*constants, weight]), tmp_path / "given")
    with pytest.raises(BadInput, match="GB of memory"):
        open_model(path, Given(), tmp_path / "taken")


def test_a_number_of_the_request_that_sizes_a_tensor_is_refused(tmp_path: Path) -> None:
    """Harmless with zeros; one request could take the served model down."""
    nodes = [
        hostile.node("ReduceMax", ["x"], ["most"], keepdims=0),
        hostile.node("Cast", ["most"], ["count"], to=TensorProto.INT64),
        hostile.node("Reshape", ["count", "flat"], ["shape"]),
        hostile.node("ConstantOfShape", ["shape"], ["big"]),
        hostile.node("ReduceSum", ["big"], ["sum"], keepdims=0),
        hostile.node("MatMul", ["x", "w"], ["y"]),
        hostile.node("Add", ["y", "sum"], ["p"]),
    ]
    constants = [
        helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4),
        helper.make_tensor("flat", TensorProto.INT64, [1], [1]),
    ]
    path = hostile.saved(hostile.graph(nodes, constants), tmp_path / "given")
    with pytest.raises(BadInput, match="large numbers") as caught:
        open_model(path, Given(), tmp_path / "taken")
    assert "Clip" in caught.value.hint


ANSWERS: dict[str, Any] = {
    "no JSON": b"{",
    "another form": b"[]",
    "no list of notes": b'{"refused": null, "hint": "", "notes": 3}',
    "a note that is no text": b'{"refused": null, "hint": "", "notes": [3]}',
    "nested without end": b"[" * 200_000,
    "too long": b'{"refused": "' + b"x" * 2_000_000 + b'", "hint": "", "notes": []}',
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_of_a_process_that_was_taken_over_is_not_believed(tmp_path: Path, name: str) -> None:
    (tmp_path / "answer.json").write_bytes(ANSWERS[name])
    with pytest.raises(BadInput, match="no proper answer"):
        take_answer(tmp_path, tmp_path)


def test_an_answer_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"refused": null, "hint": "", "notes": []}')
    (tmp_path / "answer.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="no proper answer"):
        take_answer(tmp_path, tmp_path)


def test_a_library_that_must_not_be_found_is_not_installed() -> None:
    """And leaves no trace where libraries look for what is loaded."""
    program = """
import importlib.metadata, importlib.util, sys
from modelpack.sources.sandbox.child import finders_without
sys.meta_path[:] = finders_without(("pandas", "triton"), sys.meta_path)
assert importlib.util.find_spec("pandas") is None and "pandas" not in sys.modules
assert importlib.util.find_spec("numpy") and importlib.metadata.version("numpy")
try:
    import pandas.core
except ModuleNotFoundError as error:
    print(error.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(modelpack.__file__).parents[1],
    )
    assert done.stdout.strip() == "pandas"


def test_words_from_a_file_cannot_move_a_terminal() -> None:
    assert printable("a\x1b]0;owned\x07\x1b[2J\u202eb\n") == "a?]0;owned??[2J?b?"


def test_a_model_of_another_user_s_is_read(tmp_path: Path) -> None:
    """A file of mode 0600 in a folder of mode 0700, as people keep them."""
    path = hostile.saved(hostile.benign_graph(), tmp_path / "given")
    path.chmod(0o600)
    path.parent.chmod(0o700)
    variant = open_model(path, Given(), tmp_path / "taken")
    assert answered(variant, np.ones((3, 4))).shape == (3,)
