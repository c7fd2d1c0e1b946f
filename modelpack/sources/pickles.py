"""Pickles read as a list of instructions, never run: every name they would import must be on the allow-list.

Opcodes: docs.python.org/3/library/pickletools.html. A pickle runs any callable that it can name (GLOBAL, INST,
STACK_GLOBAL, EXT*); one that can only name constructors of tensors can only build tensors.
"""

from __future__ import annotations

import io
import pickletools
from pathlib import Path

from modelpack.errors import BadInput
from modelpack.sources import archive

STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
TENSORS = frozenset(
    {
        "collections OrderedDict",
        "torch Size",
        "torch device",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "torch.storage UntypedStorage",
        "torch.serialization _get_layout",
        *(f"torch {kind}Storage" for kind in STORAGES),
    }
)
"""What `torch.save` writes for tensors in tuples, lists and dicts."""
STRINGS = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})
LARGEST_PICKLE = 64_000_000


def scan(data: bytes, where: Path, allowed: frozenset[str] = TENSORS) -> None:
    """Raises BadInput when the pickle names anything outside `allowed` ("module name"), or is damaged."""
    try:
        foreign = sorted(list_imports(data) - allowed)
    except Exception as error:
        raise BadInput(f"a damaged pickle inside is refused: {error}", where=str(where)) from error
    if foreign:
        listed = ", ".join(name.replace(" ", ".") for name in foreign)
        raise BadInput(f"a pickle inside that would import {listed} is refused", where=str(where))


def list_imports(data: bytes) -> set[str]:
    """Every "module name" that the pickle would import; "unreadable name" for one not written out in full.

    STACK_GLOBAL takes two strings from the stack: they count only when the two instructions before it push them
    (from the pickle or the memo), so that no play with the stack can hide a name.
    """
    found: set[str] = set()
    memo: dict[int, str | None] = {}
    pushed: list[str | None] = []
    end = 0
    for opcode, argument, position in pickletools.genops(data):
        kind, end = opcode.name, position or 0
        if kind in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = len(memo) if kind == "MEMOIZE" else int(str(argument))
            memo[place] = pushed[-1] if pushed else None
            continue
        if kind in ("GLOBAL", "INST"):
            found.add(str(argument))
        elif kind == "STACK_GLOBAL":
            known = [one for one in pushed[-2:] if one is not None]
            found.add(" ".join(known) if len(known) == 2 else "unreadable name")
        elif kind in EXTENSIONS:
            found.add(f"extension {argument}")
        if kind in STRINGS:
            pushed.append(str(argument))
        else:
            pushed.append(memo.get(int(str(argument))) if kind in ("GET", "BINGET", "LONG_BINGET") else None)
    if end + 1 != len(data):
        raise ValueError("bytes after its end")
    return found


def scan_torch_file(data: bytes, where: Path) -> None:
    """A file by `torch.save`, itself a zip archive with one pickle. Raises BadInput for any other."""
    with archive.open_archive(io.BytesIO(data), where) as inner:
        names = [name for name in inner.namelist() if name.endswith(".pkl")]
        if len(names) != 1:
            raise BadInput("not a file by torch.save: it needs one data.pkl", where=str(where))
        scan(archive.member(inner, names[0], where, LARGEST_PICKLE), where)
