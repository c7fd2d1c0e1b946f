"""moto's backends and the overlays' state as one pickle, and back.

Why a pickle: what moto keeps is objects of some thousand classes that refer to each other, and any other form would
name those classes as well. Whose pickle it is, `snapshot.py` makes sure of before it is read.

Backends refer to each other, so they are pickled as names and made anew (without their costly constructors) before
their content is read back; locks are made anew. What cannot be pickled is left out and told: its backend is then made
by its constructor, so that it has that part at least as it begins.
"""

from __future__ import annotations

import copyreg
import importlib
import io
import pickle
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import unwrap
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakValueDictionary

LOCKS = (type(threading.Lock()), type(threading.RLock()))
WITHIN = ".<locals>."
Name = tuple[str, str, str, str]
"""Module and class of a backend, account, region."""


class NotFound(Exception):
    """A pickle names something that this moto does not have."""


@dataclass(frozen=True)
class Pickled:
    """`left_out` says, in words, what is not in `data`, and why; `kinds`: what kinds of objects are in it."""

    data: bytes
    left_out: tuple[str, ...] = ()
    kinds: frozenset[object] = frozenset()


def pickle_account(state: Mapping[str, Any], *, each: bool = False) -> Pickled:
    """The whole account; with `each` every part of it is written and read alone first. The caller holds the account's
    lock. Raises what pickle raises when nothing helps."""
    contents = {name: dict(vars(backend)) for name, backend in _backends()}
    kept, known = dict(state), _names()
    partial: list[Name] = []
    whole = {"state": kept, "backends": contents, "partial": partial}
    if not each:
        try:
            data, kinds = _pickle(whole, known)
            return Pickled(data, kinds=kinds)
        except Exception as error:
            reason = error
    left_out: list[str] = []
    for name, content in contents.items():
        if _leave_out(content, known, f"{name[0].split('.')[1]} in {name[3]}:", left_out):
            partial.append(name)
    _leave_out(kept, known, "state of", left_out)
    if not left_out and not each:
        raise reason
    data, kinds = _pickle(whole, known)
    return Pickled(data, tuple(left_out), kinds)


def check_readable(data: bytes) -> None:
    """Read a pickle without touching any backend. Raises whatever it makes of itself: not all that can be written can
    be read back."""
    _Reader(io.BytesIO(data)).load()


def unpickle_account(data: bytes) -> dict[str, Any]:
    """Fill moto's backends and return the overlays' state. Raises whatever a damaged pickle makes of itself."""
    found = _Unpickler(io.BytesIO(data)).load()
    for name, content in found["backends"].items():
        if name in found["partial"]:
            vars(_shell(name)).update(vars(_store(*name[:2]).backend(name[3], name[2])))
        vars(_shell(name)).update(content)
    return dict(found["state"])


def empty_account() -> None:
    """Forget backends that were made without their content."""
    from moto.core.base_backend import BackendDict

    for store in list(BackendDict._instances):
        store.clear()
    BackendDict._instances.clear()


# ---- writing ----


def _leave_out(content: dict[str, Any], known: Mapping[int, Any], what: str, told: list[str]) -> bool:
    """Take out the members that cannot be pickled; whether there were any."""
    before = len(told)
    for key, value in tuple(content.items()):
        try:
            check_readable(_pickle(value, known)[0])
        except Exception as error:
            del content[key]
            told.append(f"{what} {key} ({error})")
    return len(told) > before


def _names() -> dict[int, Any]:
    """What is pickled as a name: backends, their regions by account, their stores."""
    from moto.core.base_backend import AccountSpecificBackend, BackendDict

    stores = [(store, _type_name(store.backend)) for store in list(BackendDict._instances)]
    found: dict[int, Any] = {id(store): ("store", *kind) for store, kind in stores}
    for store, kind in stores:
        for account, regions in store.items():
            if isinstance(regions, AccountSpecificBackend):
                found[id(regions)] = ("account", *kind, account)
    return found | {id(backend): ("backend", *name) for name, backend in _backends()}


def _pickle(value: Any, known: Mapping[int, Any]) -> tuple[bytes, frozenset[object]]:
    """The pickle, and the kinds of what is in it: classes, and functions by name."""
    kinds: set[object] = set()

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return known.get(id(obj))

        def reducer_override(self, obj: Any) -> Any:
            kinds.add((obj.__module__, obj.__qualname__) if isinstance(obj, FunctionType) else type(obj))
            return _reduce(obj)

    written = io.BytesIO()
    Pickler(written, protocol=5).dump(value)
    return written.getvalue(), frozenset(kinds)


def _reduce(obj: Any) -> Any:
    """How kinds are written that pickle itself cannot."""
    if isinstance(obj, LOCKS):
        return _make_lock, (isinstance(obj, LOCKS[1]),)
    if type(obj).__module__.startswith("cryptography.") and hasattr(obj, "private_bytes"):
        return _read_key, (_pem(obj),)
    if type(obj) is WeakValueDictionary:
        return WeakValueDictionary, (), None, None, iter(list(obj.items()))
    if isinstance(obj, defaultdict) and type(obj) is not defaultdict:
        # pickle would call the class with the factory, whatever its own constructor takes
        filled = (dict(obj), obj.default_factory, vars(obj))
        return copyreg.__newobj__, (type(obj),), filled, None, None, _fill_dict  # type: ignore[attr-defined]
    if isinstance(obj, FunctionType) and WITHIN in obj.__qualname__ and obj.__closure__ is None:
        return _find_function, (obj.__module__, obj.__qualname__, obj.__code__.co_firstlineno)
    return NotImplemented


# ---- reading ----


class _Reader(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return pid


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._found: dict[Any, Any] = {}

    def persistent_load(self, pid: Any) -> Any:
        if pid not in self._found:
            self._found[pid] = self._find(*pid)
        return self._found[pid]

    def _find(self, kind: str, *name: str) -> Any:
        if kind == "backend":
            return _shell((name[0], name[1], name[2], name[3]))
        store = _store(name[0], name[1])
        return store[name[2]] if kind == "account" else store


def _backends() -> Iterator[tuple[Name, Any]]:
    from moto.core.base_backend import BackendDict

    for store in list(BackendDict._instances):
        module, kind = _type_name(store.backend)
        for account, region, backend in list(store.iter_backends()):
            yield (module, kind, account, region), backend


def _type_name(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _store(module: str, kind: str) -> Any:
    """The BackendDict of a backend class, found beside the class."""
    from moto.core.base_backend import BackendDict

    for found in vars(importlib.import_module(module)).values():
        if isinstance(found, BackendDict) and _type_name(found.backend) == (module, kind):
            return found
    raise NotFound(f"moto has no store of {module}.{kind}")


def _shell(name: Name) -> Any:
    """The backend of this name; made without its constructor when it is not there yet."""
    module, kind, account, region = name
    store = _store(module, kind)
    regions = store[account]
    if not dict.__contains__(regions, region):
        dict.__setitem__(regions, region, object.__new__(store.backend))
    return dict.__getitem__(regions, region)


def _make_lock(reentrant: bool) -> Any:
    return threading.RLock() if reentrant else threading.Lock()


def _fill_dict(made: Any, filled: tuple[dict[Any, Any], Any, dict[str, Any]]) -> None:
    items, made.default_factory, members = filled
    vars(made).update(members)
    dict.update(made, items)


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def _read_key(pem: bytes) -> Any:
    from cryptography.hazmat.primitives import serialization

    # made here, and encrypted with the snapshot since: to prove it prime again takes 50 ms a key, at every snapshot
    return serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)


def _find_function(module: str, qualified: str, line: int) -> Callable[..., Any]:
    """A function that another one of moto's makes when it runs, as `defaultdict(lambda: ...)` does; without variables
    of its maker it is its code alone."""
    owner = importlib.import_module(module)
    outer: Any = owner
    for part in qualified.partition(WITHIN)[0].split("."):
        outer = getattr(outer, part)
    for code in _codes(unwrap(outer).__code__):
        if (code.co_qualname, code.co_firstlineno) == (qualified, line):
            return FunctionType(code, vars(owner))
    raise NotFound(f"{module} has no {qualified}")


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
