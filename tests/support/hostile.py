"""Hostile model files, made on the spot: each would run `touch CANARY`, read elsewhere, or eat the memory.

`CASES`: name -> a function of (folder, canary) that writes one and gives its path.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper

Case = Callable[[Path, Path], Path]
CASES: dict[str, Case] = {}


def case(made: Case) -> Case:
    CASES[made.__name__.replace("_", " ")] = made
    return made


# Pickles, one per way to a callable.


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def pickles(canary: Path) -> dict[str, bytes]:
    command = f"touch {canary}"
    argument = text(command) + b"\x85R."
    memo = text("os") + b"q\x01" + text("system") + b"q\x020" + b"0"
    return {
        "global": b"\x80\x02cos\nsystem\n" + argument,
        "protocol 0": f"cos\nsystem\n(S'{command}'\ntR.".encode(),
        "stack global": b"\x80\x04" + text("os") + text("system") + b"\x93" + argument,
        "stack global from the memo": b"\x80\x04" + memo + b"h\x01h\x02\x93" + argument,
        "stack global behind a pop": b"\x80\x04"
        + text("os")
        + text("system")
        + text("Size")
        + b"0\x93"
        + argument,
        "inst": f"(S'{command}'\nios\nsystem\n.".encode(),
        "obj": b"\x80\x02(cos\nsystem\n" + text(command) + b"o.",
        "newobj": b"\x80\x02cos\nsystem\n" + text(command) + b"\x85\x81.",
        "build": b"\x80\x02cbuiltins\nobject\n)\x81}" + text("x") + b"cos\nsystem\n" + argument[:-1] + b"sb.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\ncbuiltins\n__import__\n"
        + text("os")
        + b"\x85R"
        + text("system")
        + b"\x86R"
        + argument,
        "extension": b"\x80\x02\x82\x01" + argument,
        "eval": b"\x80\x02cbuiltins\neval\n" + text(f"__import__('os').system({command!r})") + b"\x85R.",
        "after a good one": pickle.dumps(1) + b"cos\nsystem\n" + argument,
    }


# torch.export archives.


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.dense(x)).squeeze(1)


def exported(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    batch = torch.export.Dim("batch")
    program = torch.export.export(Small().eval(), (torch.ones(2, 4),), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "model.pt2")
    return folder / "model.pt2"


def repacked(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def torch_file(data: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    return content.getvalue()


def sampled(kind: str) -> Case:
    def made(folder: Path, canary: Path) -> Path:
        inner = torch_file(pickles(canary)[kind])
        return repacked(
            exported(folder), lambda members: members.update({"model/data/sample_inputs/model.pt": inner})
        )

    return made


CASES |= {f"pt2 with a pickle: {kind}": sampled(kind) for kind in pickles(Path("x"))}


def edited(old: str, new: Callable[[Path], str]) -> Case:
    def made(folder: Path, canary: Path) -> Path:
        def change(members: dict[str, bytes]) -> None:
            name = "model/models/model.json"
            assert old.encode() in members[name]
            members[name] = members[name].replace(old.encode(), new(canary).encode())

        return repacked(exported(folder), change)

    return made


def call(canary: Path) -> str:
    return f"__import__('os').system('touch {canary}')"


CASES |= {
    "pt2 whose size expression is code": edited("Symbol('s77', positive=True, integer=True)", call),
    "pt2 whose size expression never ends": edited(
        "Symbol('s77', positive=True, integer=True)", lambda _: "9**9**9**9"
    ),
    "pt2 whose operator is os.system": edited(
        "torch.ops.aten.sigmoid.default", lambda _: "torch.serialization.os.system"
    ),
    "pt2 with a huge tensor": edited(
        '"sizes": [{"as_int": 1}, {"as_int": 4}]',
        lambda _: '"sizes": [{"as_int": 99999999999}, {"as_int": 4}]',
    ),
}


@case
def pt2_with_a_pickled_weight(folder: Path, canary: Path) -> Path:
    def change(members: dict[str, bytes]) -> None:
        name = "model/data/weights/model_weights_config.json"
        members[name] = members[name].replace(b'"use_pickle": false', b'"use_pickle": true')
        members["model/data/weights/weight_0"] = torch_file(pickles(canary)["global"])

    return repacked(exported(folder), change)


@case
def pt2_with_a_library(folder: Path, canary: Path) -> Path:
    return repacked(
        exported(folder), lambda members: members.update({"model/data/aotinductor/model/x.so": b"\x7fELF"})
    )


@case
def pt2_with_a_name_outside(folder: Path, canary: Path) -> Path:
    return repacked(exported(folder), lambda members: members.update({"model/../../x": b"1"}))


@case
def pt2_that_is_a_zip_bomb(folder: Path, canary: Path) -> Path:
    path = exported(folder)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data/weights/weight_9", bytes(50_000_000))
    return path


@case
def pt2_with_overlapping_members(folder: Path, canary: Path) -> Path:
    path = exported(folder)
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.infolist()[0]
        twin = zipfile.ZipInfo("model/data/weights/weight_9")
        twin.header_offset, twin.CRC = first.header_offset, first.CRC
        twin.compress_size = twin.file_size = first.file_size
        archive.filelist.append(twin)
        archive._didModify = True  # type: ignore[attr-defined]
    return path


@case
def pt2_with_an_archive_in_its_json(folder: Path, canary: Path) -> Path:
    return repacked(
        exported(folder),
        lambda members: members.update({"model/models/model.json": torch_file(pickles(canary)["global"])}),
    )


# Wrappers with a wrong name.


def renamed(suffix: str, wrap: Callable[[bytes], bytes]) -> Case:
    def made(folder: Path, canary: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"model.{suffix}"
        path.write_bytes(wrap(pickles(canary)["global"]))
        return path

    return made


def tarred(data: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        entry = tarfile.TarInfo("data.pkl")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


WRAPS: dict[str, Callable[[bytes], bytes]] = {
    "pickle": bytes,
    "zip": torch_file,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "tar": tarred,
    "zip in a zip": lambda data: torch_file(torch_file(data)),
    "gzip of a tar": lambda data: gzip.compress(tarred(data)),
}
CASES |= {
    f"{kind} named .{suffix}": renamed(suffix, wrap)
    for kind, wrap in WRAPS.items()
    for suffix in ("onnx", "safetensors", "pt2", "keras", "json", "txt")
}


# safetensors.


def tensors(header: bytes | dict[str, Any], length: int | None = None, data: bytes = bytes(64)) -> Case:
    def made(folder: Path, canary: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        words = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = folder / "model.safetensors"
        path.write_bytes(struct.pack("<Q", len(words) if length is None else length) + words + data)
        return path

    return made


def placed(*places: tuple[int, int], shape: list[int] | None = None) -> dict[str, Any]:
    return {
        f"t{number}": {"dtype": "F32", "shape": shape or [16], "data_offsets": list(place)}
        for number, place in enumerate(places)
    }


CASES |= {
    "safetensors with overlapping tensors": tensors(placed((0, 64), (0, 64))),
    "safetensors with a huge offset": tensors(placed((1 << 62, (1 << 62) + 64))),
    "safetensors with a negative offset": tensors(placed((-64, 0))),
    "safetensors with a header of 100 GB": tensors(b"{}", 100_000_000_000),
    "safetensors with a header above any number": tensors(b"{}", (1 << 64) - 1),
    "safetensors with a name twice": tensors(
        b'{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},"a":{}}'
    ),
    "safetensors with a shape bomb": tensors(placed((0, 64), shape=[1 << 40, 1 << 40])),
    "safetensors nested too deep": tensors(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
}


# ONNX.


def node(op: str, inputs: list[str], outputs: list[str], domain: str = "", **more: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, domain=domain, **more)


def graph(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], **more: Any) -> onnx.ModelProto:
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4]),
        helper.make_tensor_value_info("p", TensorProto.FLOAT, ["batch"]),
    ]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    return helper.make_model(made, opset_imports=opsets, ir_version=10, **more)


def benign_graph(
    weights: list[onnx.TensorProto] | None = None, extra: list[onnx.NodeProto] | None = None
) -> onnx.ModelProto:
    first = helper.make_tensor("w", TensorProto.FLOAT, [4], [1.0, -1.0, 0.5, 0.0])
    return graph(
        [*(extra or []), node("MatMul", ["x", "w"], ["p"])], weights if weights is not None else [first]
    )


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def outside(location: str, link: bool = False, length: str = "16") -> Case:
    def made(folder: Path, canary: Path) -> Path:
        tensor = TensorProto(
            name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL
        )
        tensor.external_data.add(key="location", value=location)
        tensor.external_data.add(key="length", value=length)
        path = saved(benign_graph([tensor]), folder)
        (folder.parent / "secret.bin").write_bytes(bytes(64))
        if link:
            (folder / location).symlink_to(folder.parent / "secret.bin")
        return path

    return made


def small(name: str, dims: list[int], data: bytes) -> onnx.TensorProto:
    return TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, raw_data=data)


def onnx_file(make: Callable[[], onnx.ModelProto]) -> Case:
    return lambda folder, canary: saved(make(), folder)


def bomb() -> onnx.ModelProto:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [10**9, 10**9])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    return benign_graph([shape, weight], [node("ConstantOfShape", ["shape"], ["big"])])


def functions(loop: bool) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    made = []
    for depth in range(1, 12):
        inner = "f1" if loop and depth == 11 else f"f{depth + 1}"
        body = [node("Identity", ["a"], ["v0"])] if depth == 11 and not loop else []
        body += (
            []
            if body
            else [node(inner, ["a" if at == 0 else f"v{at - 1}"], [f"v{at}"], "own") for at in range(10)]
        )
        made.append(helper.make_function("own", f"f{depth}", ["a"], [body[-1].output[0]], body, opsets))
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    return graph(
        [node("f1", ["x"], ["y"], "own"), node("MatMul", ["y", "w"], ["p"])], [weight], functions=made
    )


@case
def onnx_with_deeply_nested_subgraphs(folder: Path, canary: Path) -> Path:
    def field(number: int, data: bytes) -> bytes:
        size, length = len(data), b""
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + data

    inner = b""
    for _ in range(3000):  # GraphProto.node=1 -> NodeProto.attribute=5 -> AttributeProto.g=6
        inner = field(1, field(5, field(6, inner)))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(b"\x08\x0a" + field(7, inner))
    return folder / "model.onnx"


@case
def onnx_cut_short(folder: Path, canary: Path) -> Path:
    path = saved(benign_graph(), folder)
    path.write_bytes(path.read_bytes()[:-20])
    return path


CASES |= {
    "onnx with absolute external data": outside("/etc/passwd"),
    "onnx with external data above": outside("../secret.bin"),
    "onnx with linked external data": outside("weights.bin", link=True),
    "onnx with external data beyond the file": outside("model.onnx", length="9999999"),
    "onnx with a foreign operator": onnx_file(lambda: graph([node("Shell", ["x"], ["p"], "evil")], [])),
    "onnx with huge dimensions": onnx_file(lambda: benign_graph([small("w", [1 << 40, 1 << 20], b"1234")])),
    "onnx with negative dimensions": onnx_file(lambda: benign_graph([small("w", [-4], bytes(16))])),
    "onnx with more numbers than bytes": onnx_file(
        lambda: benign_graph([small("w", [4_000_000_000], bytes(16))])
    ),
    "onnx that makes a huge constant": onnx_file(bomb),
    "onnx whose function calls itself": onnx_file(lambda: functions(loop=True)),
    "onnx whose functions unfold for ever": onnx_file(lambda: functions(loop=False)),
}
