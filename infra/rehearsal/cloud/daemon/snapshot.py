"""The account on disk: moto's backends and the overlays' state as one pickle, tied to moto's version.

Backends refer to each other, so they are pickled as names and made anew (without their costly constructors)
before their content is read back; locks are made anew. Only a file written by this user's own daemon is ever read.
"""

from __future__ import annotations

import importlib
import io
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.own_files import write_atomically

FORMAT = 2
LOCKS = (type(threading.Lock()), type(threading.RLock()))
Name = tuple[str, str, str, str]
"""Module and class of a backend, account, region."""


class UnusableSnapshot(Exception):
    """The snapshot cannot be used; `str()` says why."""


def release() -> str:
    """What a snapshot is tied to."""
    return f"format {FORMAT}, moto {version('moto')}, Python {sys.version_info[0]}.{sys.version_info[1]}"


def dump(state: dict[str, Any]) -> bytes:
    """The whole account. The caller holds the account's lock."""
    from moto.core.base_backend import AccountSpecificBackend, BackendDict

    backends = {id(backend): (name, backend) for name, backend in _backends()}
    accounts = {
        id(regions): (type_name, account)
        for store in list(BackendDict._instances)
        for type_name in [_type_name(store.backend)]
        for account, regions in store.items()
        if isinstance(regions, AccountSpecificBackend)
    }
    stores = {id(store): _type_name(store.backend) for store in list(BackendDict._instances)}

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if id(obj) in backends:
                return ("backend", *backends[id(obj)][0])
            if id(obj) in accounts:
                (module, kind), account = accounts[id(obj)]
                return ("account", module, kind, account)
            return ("store", *stores[id(obj)]) if id(obj) in stores else None

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, LOCKS):
                return _lock, (isinstance(obj, LOCKS[1]),)
            if type(obj).__module__.startswith("cryptography.") and hasattr(obj, "private_bytes"):
                return _key, (_pem(obj),)
            return NotImplemented

    written = io.BytesIO()
    written.write(release().encode() + b"\n")
    contents = {name: vars(backend) for name, backend in backends.values()}
    Pickler(written, protocol=5).dump({"state": state, "backends": contents})
    return written.getvalue()


def save(path: Path, data: bytes) -> None:
    """Write a dump so that a kill leaves the old file or the new one."""
    write_atomically(path, data)


def load(path: Path) -> dict[str, Any]:
    """Fill moto's backends from the file and return the overlays' state; {} when there is no file.

    Raises:
        UnusableSnapshot: it is damaged, or of another release of moto, Python or ourselves. The file is moved aside,
            nothing was changed.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    head, _, body = data.partition(b"\n")
    try:
        if head.decode("utf-8", "replace") != release():
            raise UnusableSnapshot(
                f"the snapshot is of {head.decode('utf-8', 'replace')[:80]}, this is {release()}"
            )
        found = _Unpickler(io.BytesIO(body)).load()
    except UnusableSnapshot:
        _aside(path)
        raise
    except Exception as error:
        _aside(path)
        _empty()
        raise UnusableSnapshot(f"the snapshot is damaged ({type(error).__name__}: {error})") from error
    for name, content in found["backends"].items():
        vars(_shell(name)).update(content)
    return dict(found["state"])


def age(path: Path) -> float | None:
    """Seconds since the last snapshot; None when there is none."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None


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
    raise UnusableSnapshot(f"moto has no store of {module}.{kind}")


def _shell(name: Name) -> Any:
    """The backend of this name; made without its constructor when it is not there yet."""
    module, kind, account, region = name
    store = _store(module, kind)
    regions = store[account]
    if not dict.__contains__(regions, region):
        dict.__setitem__(regions, region, object.__new__(store.backend))
    return dict.__getitem__(regions, region)


def _empty() -> None:
    """Forget backends that were made without their content."""
    from moto.core.base_backend import BackendDict

    for store in list(BackendDict._instances):
        store.clear()
    BackendDict._instances.clear()


def _aside(path: Path) -> None:
    os.replace(path, path.with_suffix(f".{time.strftime('%Y%m%d-%H%M%S')}.old"))


def _lock(reentrant: bool) -> Any:
    return threading.RLock() if reentrant else threading.Lock()


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def _key(pem: bytes) -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(pem, None)
