"""Model files that two readers of the same container see differently, or that are two things at once; see `hostile`.

Zip archives have a file of their own (`hostile_archives`). Here: HDF5, protobuf, JSON, tar, npz, safetensors.
"""

from __future__ import annotations

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

import hostile
import numpy as np
import onnx
from hostile_others import RECORDED, face, hdf5, keras_file, layer
from onnx import TensorProto

CASES: dict[str, hostile.Case] = {}


class Evil:
    """Unpickled it makes the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return eval, (hostile.call(self.canary),)


def written(name: str, make: Callable[[Path], bytes]) -> hostile.Case:
    """A file of that name with what `make` gives for the canary."""

    def made(folder: Path, canary: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(make(canary))
        return folder / name

    return made


# HDF5: readers look for the superblock at 0, 512, 1024, 2048 ...


def weights(make: Callable[[Path], bytes]) -> hostile.Case:
    return lambda folder, canary: keras_file(folder, [layer("Flatten")], weights=make(canary))


def superblock(version: int) -> bytes:
    head = bytearray(hdf5(1000))
    head[8] = version
    return bytes(head)


CASES |= {
    "hdf5 behind a user block": weights(lambda _: bytes(512) + hdf5(1000)),
    "hdf5 behind a pickle": weights(lambda canary: pickle.dumps(Evil(canary)).ljust(512, b"\0") + hdf5(1000)),
    "hdf5 with bytes behind its end": weights(lambda canary: hdf5(1000) + pickle.dumps(Evil(canary))),
    "hdf5 cut short": weights(lambda _: hdf5(1000)[:-1]),
    "hdf5 of an unknown version": weights(lambda _: superblock(9)),
    "hdf5 that is a pickle": weights(lambda canary: pickle.dumps(Evil(canary))),
    "hdf5 that is nothing": weights(lambda _: b""),
    "hdf5 with another base address": weights(lambda _: hdf5(1000)[:24] + b"\1" + hdf5(1000)[25:]),
}


# protobuf: repeated fields are merged, a scalar's last value wins, tags and lengths may be longer than they need.


def tagged(number: int, data: bytes, padding: int = 0) -> bytes:
    """A length-delimited field; `padding`: bytes by which its length is written longer than it needs."""
    return bytes([number << 3 | 2]) + varint(len(data), padding) + data


def varint(value: int, padding: int = 0) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(padding):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def benign() -> bytes:
    return bytes(hostile.benign_graph().SerializeToString())


def foreign() -> bytes:
    """A second graph, merged into the first, with an operator that a library of one's own would run."""
    return bytes(onnx.GraphProto(node=[hostile.node("Shell", ["x"], ["q"], "evil")]).SerializeToString())


def elsewhere(padding: int, first: str, second: str | None = None) -> bytes:
    """A weight whose file is told by an entry that a search for its usual bytes does not find, or told twice."""
    model = hostile.benign_graph([TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])])
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    for location in (first, second):
        if location is not None:
            model.graph.initializer[0].external_data.add(key="location", value=location)
    if not padding:
        return bytes(model.SerializeToString())
    entry = tagged(1, b"location", padding) + tagged(2, first.encode(), padding)
    del model.graph.initializer[0].external_data[:]
    tensor = model.graph.initializer[0].SerializeToString() + tagged(13, entry, padding)
    del model.graph.initializer[:]
    return bytes(model.SerializeToString()) + tagged(7, tagged(5, tensor, padding), padding)


CASES |= {
    "protobuf with a second graph": written("model.onnx", lambda _: benign() + tagged(7, foreign())),
    "protobuf with a second graph by a long tag": written(
        "model.onnx", lambda _: benign() + b"\xba\x80\x80\x00" + varint(len(foreign())) + foreign()
    ),
    "protobuf with a longer length": written("model.onnx", lambda _: benign() + tagged(7, foreign(), 4)),
    "protobuf whose length goes beyond the file": written(
        "model.onnx", lambda _: benign() + b"\x3a" + varint(1 << 40)
    ),
    "protobuf with a number of eleven bytes": written(
        "model.onnx", lambda _: benign() + b"\x08" + b"\xff" * 11
    ),
    "protobuf with an open group": written("model.onnx", lambda _: benign() + b"\x0b" * 200),
    "protobuf with field zero": written("model.onnx", lambda _: benign() + b"\x02\x00"),
    "protobuf behind a pickle": written("model.onnx", lambda canary: pickle.dumps(Evil(canary)) + benign()),
    "protobuf before a pickle": written("model.onnx", lambda canary: benign() + pickle.dumps(Evil(canary))),
    "protobuf with weights elsewhere, by long lengths": written(
        "model.onnx", lambda _: elsewhere(3, "../../../../etc/passwd")
    ),
    "protobuf with weights at two places": written(
        "model.onnx", lambda _: elsewhere(0, "model.onnx", "../secret.bin")
    ),
    "protobuf with weights in /proc": written("model.onnx", lambda _: elsewhere(0, "/proc/self/environ")),
    "protobuf with a name that ends early": written(
        "model.onnx", lambda _: elsewhere(0, "model.onnx\0/../../x")
    ),
}


# JSON: a name twice, other codings, numbers beyond any, depth.


def xgboost(change: Callable[[str], str | bytes]) -> hostile.Case:
    def make(_: Path) -> bytes:
        text = change(json.dumps(json.loads(RECORDED.read_text())["model"]))
        return text if isinstance(text, bytes) else text.encode()

    return written("model.json", make)


def doubled(text: str) -> str:
    return text.replace('"learner":', '"learner": {}, "learner":', 1)


CASES |= {
    "json with a name twice": xgboost(doubled),
    "json with a name twice, once by escapes": xgboost(
        lambda text: text.replace('"learner":', '"\\u006cearner": {}, "learner":', 1)
    ),
    "json with a second document": xgboost(lambda text: text + text),
    "json behind a mark of its coding twice": xgboost(lambda text: "\ufeff\ufeff" + text),
    "json with a number of 100,000 digits": xgboost(
        lambda text: text.replace('"learner":', f'"x": {"9" * 100_000}, "learner":', 1)
    ),
    "json with a limit that is no number": xgboost(
        lambda text: text.replace('"split_conditions": [', '"split_conditions": [NaN, ', 1)
    ),
    "json with a lone half of a character": xgboost(
        lambda text: text.replace('"learner":', '"\\ud800": {}, "learner": 1, "x":', 1)
    ),
    "json that is two things": xgboost(lambda text: text.encode() + b"\0" + pickle.dumps(1)),
    "json of a huggingface config with a name twice": lambda folder, _: face(
        folder, files={"config.json": b'{"model_type": "bert", "model_type": "bert"}'}
    ),
}


# tar: with and without its mark, packed, and with members that lead outside.


def tar(kind: int, *members: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=kind) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def without_mark(data: bytes) -> bytes:
    """A tar as in 1979: the header has no "ustar", its sum is right."""
    head = bytearray(data[:512])
    head[257:512] = bytes(255)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[512:]


def evil_tar(canary: Path) -> bytes:
    return tar(tarfile.USTAR_FORMAT, ("../../data.pkl", pickle.dumps(Evil(canary))))


CASES |= {
    f"tar without its mark, named .{suffix}": written(
        f"model.{suffix}", lambda canary: without_mark(evil_tar(canary))
    )
    for suffix in ("onnx", "safetensors", "json", "txt")
}
CASES |= {
    "tar in pax form, named .onnx": written(
        "model.onnx", lambda canary: tar(tarfile.PAX_FORMAT, ("ä" * 200, evil_tar(canary)))
    ),
    "tar that is packed, named .json": written("model.json", lambda canary: gzip.compress(evil_tar(canary))),
    "tar in a huggingface folder": lambda folder, canary: face(folder, files={"model.tar": evil_tar(canary)}),
}


# npz and npy: arrays of objects are pickles.


def npy(canary: Path) -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([Evil(canary)], dtype=object), allow_pickle=True)
    return content.getvalue()


def npz(canary: Path, name: str = "arr_0.npy") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, npy(canary))
    return content.getvalue()


CASES |= {
    f"npz named .{suffix}": written(f"model.{suffix}", npz) for suffix in ("npz", "pt2", "keras", "onnx")
}
CASES |= {
    f"npy named .{suffix}": written(f"model.{suffix}", npy) for suffix in ("npy", "safetensors", "onnx")
}
CASES |= {
    "npz with a member's name of a pt2": written(
        "model.pt2", lambda canary: npz(canary, "model/models/model.json")
    ),
    "npz in a huggingface folder": lambda folder, canary: face(folder, files={"weights.npz": npz(canary)}),
    "npz as weights of Keras": weights(npz),
}


# safetensors: what stands between, before and behind, and names by escapes.


def tensors(header: str, data: bytes = bytes(64)) -> hostile.Case:
    words = header.encode()
    return written("model.safetensors", lambda _: struct.pack("<Q", len(words)) + words + data)


ONE = '{"dtype":"F32","shape":[16],"data_offsets":[0,64]}'
CASES |= {
    "safetensors with a name twice, once by escapes": tensors(f'{{"a":{ONE},"\\u0061":{ONE}}}'),
    "safetensors with a gap": tensors('{"a":{"dtype":"F32","shape":[8],"data_offsets":[32,64]}}'),
    "safetensors with bytes behind its end": tensors(f'{{"a":{ONE}}}', bytes(65)),
    "safetensors whose header is a list": tensors("[]"),
    "safetensors with an unknown kind": tensors('{"a":{"dtype":"O","shape":[16],"data_offsets":[0,64]}}'),
    "safetensors with metadata that is no text": tensors(f'{{"__metadata__":{{"a":[1]}},"a":{ONE}}}'),
    "safetensors with a shape that is no number": tensors(
        '{"a":{"dtype":"F32","shape":["16"],"data_offsets":[0,64]}}'
    ),
}
