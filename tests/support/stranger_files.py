"""Files as strangers send them, for fuzzing: benign ones by the library of their format, and those hostile once.

Each function gives the files of a format, made below `folder`. What puts a damaged part into a whole file gives it the
right sums, so that it gets as far as the reader of that part.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import hostile
import hostile_others
import numpy as np
import tensorflow_models
import zstandard
from cuda_files import CUBIN, library, region
from debian_mirror import FakeMirror
from elf_files import elf_file
from fuzzing import mutated
from hostile_archives import TWISTS, plain
from hypothesis import strategies as st
from safetensors.numpy import save

from modelpack.sources.keras import ADDRESSES, HDF5, SUPERBLOCK

Files = list[bytes]


def zips(folder: Path) -> Files:
    benign = {"a/b.json": b"{}" * 50, "c.bin": bytes(300)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("x", b"0" * 5000)
    return [
        plain(benign),
        packed.getvalue(),
        *(twist(benign, "a/b.json", b"evil") for twist in TWISTS.values()),
    ]


def json_texts(folder: Path) -> Files:
    return [b"{}" * 50, json.dumps({"a": [1, "b", None]}).encode()]


def exported(folder: Path) -> Files:
    """Programs by torch.export."""
    return [hostile.exported(folder / "pt2").read_bytes()]


def damaged_graphs(folder: Path) -> st.SearchStrategy[bytes]:
    """Programs whose JSON graph is damaged."""
    with zipfile.ZipFile(hostile.exported(folder / "pt2")) as held:
        members = {name: held.read(name) for name in held.namelist()}
    graph = next(name for name in members if name.endswith("models/model.json"))
    return mutated(st.just(members[graph])).map(lambda data: plain({**members, graph: data}))


def keras_files(folder: Path) -> Files:
    return [hostile_others.keras_file(folder / "keras", [DENSE]).read_bytes()]


DENSE = hostile_others.layer("Dense", units=3, name="d", activation="relu")


def keras_configs(folder: Path) -> Files:
    return [json.dumps(hostile_others.layer("Sequential", "keras", layers=[DENSE])).encode()]


def keras_with(config: bytes) -> bytes:
    """A .keras file around a config."""
    return plain(
        {"config.json": config, "metadata.json": b"{}", "model.weights.h5": hostile_others.hdf5(1000)}
    )


def weights(folder: Path) -> Files:
    """HDF5 by h5py, in its oldest form and its newest: groups, chunks, attributes, links."""
    import h5py

    made = []
    for form in ("earliest", "latest"):
        for strange in (False, True):
            content = io.BytesIO()
            with h5py.File(content, "w", libver=form) as file:
                file["layers/dense/vars/0"] = np.ones((4, 3), np.float32)
                file["layers/dense"].attrs["name"] = "dense"
                file.create_dataset("c", data=np.ones((32, 32)), chunks=(8, 8), compression="gzip")
                if strange:
                    file["soft"] = h5py.SoftLink("/layers")
                    file["other"] = h5py.ExternalLink("other.h5", "/x")
                    file.create_dataset("outside", (8,), "u1", external=[("/etc/passwd", 0, 8)])
            made.append(content.getvalue())
    return made


def whole_hdf5(data: bytes) -> bytes:
    """Bytes whose first block says that they begin and end where they do."""
    out = bytearray(data.ljust(SUPERBLOCK, b"\0"))
    begin, end = ADDRESSES.get(out[len(HDF5)], ADDRESSES[0])
    out[begin : begin + 8], out[end : end + 8] = bytes(8), struct.pack("<Q", len(out))
    return bytes(out)


def programs(folder: Path) -> Files:
    """SavedModels' graphs, by hand."""
    made = [
        hostile_others.saved_model(name)(folder / name.decode(), folder)
        for name in (b"WriteFile", b"Identity", b"SaveV2", b"Shell")
    ]
    return [(one / "saved_model.pb").read_bytes() for one in made]


def programs_by_tensorflow(folder: Path) -> Files:
    made = [
        tensorflow_models.make(what, folder / what, folder / "canary")
        for what in ("benign", "writes_while_restoring")
    ]
    return [(one / "saved" / "saved_model.pb").read_bytes() for one in made]


def configs(folder: Path) -> Files:
    """Hugging Face's config.json, and the list of its shards."""
    config = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 100, "hidden_size": 16}
    return [json.dumps(config).encode(), hostile_others.INDEX]


def graphs(folder: Path) -> Files:
    return [
        hostile.benign_graph().SerializeToString(),
        hostile.bomb().SerializeToString(),
        hostile.functions(True).SerializeToString(),
        hostile.functions(False).SerializeToString(),
    ]


def pickled(folder: Path) -> Files:
    benign = [pickle.dumps({"a": [1, "b", (2.5, None)]}, protocol) for protocol in range(6)]
    return benign + list(hostile.pickles(folder / "canary").values())


def torch_files(folder: Path) -> Files:
    return [hostile.torch_file(one) for one in pickled(folder)]


def boosted(folder: Path) -> Files:
    return [json.dumps(json.loads(hostile_others.RECORDED.read_text())["model"]).encode()]


def tree_text(folder: Path) -> Files:
    return [hostile_others.boosted().model_to_string().encode()]


def safetensors(folder: Path) -> Files:
    tensors = {"w": np.zeros(2, np.float32), "i": np.arange(6).reshape(2, 3)}
    own = json.dumps({"kind": "tiny", "shape": {"items": 2}})
    return [save(tensors), save(tensors, {"ecomdeploy": own})]


def arrays(folder: Path) -> Files:
    made = []
    for array in (
        np.ones((2, 3)),
        np.array(["a", "bc"]),
        np.asfortranarray(np.ones((3, 2), ">i4")),
        np.array(True),
    ):
        stream = io.BytesIO()
        np.save(stream, array)
        made.append(stream.getvalue())
    return made


def tar(folder: Path) -> Files:
    """Files, links, folders, a long name, a sparse file, one that a program's loader reads."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, kind, data in (
            ("a", tarfile.REGTYPE, b"text"),
            ("usr", tarfile.DIRTYPE, b""),
            ("l", tarfile.SYMTYPE, b""),
            ("h", tarfile.LNKTYPE, b""),
            ("é" * 120, tarfile.REGTYPE, b""),
            (".wh.a", tarfile.REGTYPE, b""),
            ("usr/lib.so", tarfile.REGTYPE, elf_file(["libc.so.6"], "$ORIGIN")),
        ):
            entry = tarfile.TarInfo(name)
            links = kind in (tarfile.SYMTYPE, tarfile.LNKTYPE)
            entry.type, entry.linkname, entry.size = kind, "a" if links else "", len(data)
            made.addfile(entry, io.BytesIO(data))
    return [content.getvalue()]


def tars(folder: Path) -> Files:
    (data,) = tar(folder)
    return [data, gzip.compress(data), zstandard.compress(data)]


def summed(data: bytes) -> bytes:
    """A tar whose headers' sums are right."""
    out = bytearray(data)
    for at in range(0, len(out) - 511, 512):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def ar(control: bytes, data: bytes, suffix: str = "") -> bytes:
    parts = {"debian-binary": b"2.0\n", f"control.tar{suffix}": control, f"data.tar{suffix}": data}
    lines = (
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode()
        + part
        + b"\n" * (len(part) % 2)
        for name, part in parts.items()
    )
    return b"!<arch>\n" + b"".join(lines)


def control_tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as made:
        entry = tarfile.TarInfo("./control")
        entry.size = len(text := b"Package: a\n")
        made.addfile(entry, io.BytesIO(text))
    return content.getvalue()


def debs(folder: Path) -> Files:
    (data,) = tar(folder)
    kinds: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.compress,
        ".xz": lzma.compress,
        ".zst": zstandard.compress,
    }
    return [ar(pack(control_tar()), pack(data), suffix) for suffix, pack in kinds.items()]


def deb_with(data: bytes) -> bytes:
    """A package around a tar of files."""
    return ar(control_tar(), summed(data))


def wheels(folder: Path) -> Files:
    members = {
        "a/__init__.py": b"import os\n",
        "a-1.data/scripts/a": b"#!python\nprint()\n",
        "a-1.data/purelib/b.py": b"",
        "a-1.dist-info/RECORD": b"a/__init__.py,,\n",
        "a-1.dist-info/METADATA": b"Name: a\n",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data * 20)
    return [packed.getvalue(), *(twist(members, "a/__init__.py", b"evil") for twist in TWISTS.values())]


def objects(folder: Path) -> Files:
    """Shared objects, with what their loader needs and with device code."""
    code = region([(CUBIN, 90, bytes(64)), (1, 90, bytes(32))])
    return [elf_file(["libc.so.6", "libm.so.6"], "$ORIGIN/../lib"), library(code), library(None)]


def signed_indexes(folder: Path) -> Files:
    mirror = FakeMirror(folder)
    mirror.publish()
    assert mirror.keyring == folder / "archive.asc"
    return [index.read_bytes() for index in folder.rglob("InRelease")]


def specs(folder: Path) -> Files:
    return [
        b"version: 1\nservice: shop\nusecase: fraud\nmodel: {path: a.onnx}\nscale: {min: 1, max: 2}\n"
        b"serve: {target: sagemaker, instance: ml.c7i.xlarge, environment: {A: b}}\n"
        b"environments:\n  local: {cloud: local}\n"
        b"  live: {cloud: aws, account: '123456789012', region: eu-central-1}\n",
        b"version: 1\nservice: shop\nusecase: fraud\ndata: &a [1, *a]\n",
    ]


def locks(folder: Path) -> Files:
    wheel = {"name": "aa", "version": "1.0", "filename": "aa-1.0-py3-none-any.whl", "sha256": "0" * 64}
    deb = {
        "name": "libc6",
        "version": "2.36-9",
        "sha256": "0" * 64,
        "size": 1,
        "path": "pool/main/g/glibc/libc6_2.36_amd64.deb",
        "suite": "bookworm",
    }
    document = {
        "format": 1,
        "note": "x",
        "verdict": {"for": "x", "passes": []},
        "debs": {"for": "x", "packages": [deb]},
        "wheels": {"for": "x", "packages": [wheel]},
    }
    return [json.dumps(document).encode()]


LAYER_DIGEST, CONFIG_DIGEST = b"sha256:" + b"1" * 64, b"sha256:" + b"2" * 64


def images(folder: Path) -> Files:
    """A manifest and its config, an empty line between them; the digests stand for the right ones."""
    kind = "application/vnd.oci.image.layer.v1.tar"
    layer = {"mediaType": kind, "digest": LAYER_DIGEST.decode(), "size": 3, "annotations": {"a": "b"}}
    manifest = {"schemaVersion": 2, "config": {**layer, "digest": CONFIG_DIGEST.decode()}, "layers": [layer]}
    config = {"rootfs": {"type": "layers", "diff_ids": [LAYER_DIGEST.decode()]}, "config": {"User": "65532"}}
    return [json.dumps(manifest).encode() + b"\n\n" + json.dumps(config).encode()]


def of_every_kind(folder: Path) -> Files:
    makers = (zips, keras_files, graphs, pickled, boosted, tree_text, safetensors, arrays, tars)
    return [one for make in makers for one in make(folder)[:2]]


def foreign(folder: Path) -> Files:
    """What is none of a reader's own: npz by numpy, an archive of archives, a packed tar, text."""
    plain_npz, packed_npz = io.BytesIO(), io.BytesIO()
    np.savez(plain_npz, a=np.ones(3), b=np.array(["x"]))
    np.savez_compressed(packed_npz, a=np.ones(300))
    held = [plain_npz.getvalue(), packed_npz.getvalue()]
    return [*held, plain({"a.npz": held[0]}), *tars(folder), b"\x89HDF\r\n\x1a\n", b"{}", b""]
