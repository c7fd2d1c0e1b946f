"""What an installation may lack: the extras of our package, what each brings, and how one that is missing is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from modelpack.errors import BadInput

EXTRAS = {
    "data": ("duckdb", "ibis"),
    "postgresql": ("adbc_driver_manager", "adbc_driver_postgresql"),
    "train": ("torch", "onnxscript", "lightgbm", "gguf"),
    "tensorflow": ("tensorflow", "keras", "tf2onnx", "h5py"),
    "huggingface": ("transformers",),
    "openvino": ("openvino",),
}
"""By extra, the names that what it brings is imported by."""


def to_install(*libraries: str) -> str:
    """What to type for libraries that are not there, named as they are imported."""
    wanted = (f"'ecomdeploy[{extra}]'" if (extra := extra_of(one)) else one for one in libraries)
    return " ".join(("pip install", *dict.fromkeys(wanted)))


def with_extra(extra: str) -> str:
    """What to type for an extra of ours."""
    return f"pip install 'ecomdeploy[{extra}]'"


def extra_of(library: str) -> str | None:
    """The extra that brings a library; None where none does."""
    return next((extra for extra, names in EXTRAS.items() if library in names), None)


def need(library: str, why: str) -> None:
    """Raises BadInput, with `why` it is needed and what to type, when the library is not installed."""
    if find_spec(library) is None:
        raise BadInput(f"{why} needs {library}, which is not installed here", hint=to_install(library))


@contextmanager
def tell_missing() -> Iterator[None]:
    """Raises BadInput with what to type where a library of an extra is imported and not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if extra_of(library) is None:
            raise
        raise BadInput(
            f"this needs {library}, which is not installed here", hint=to_install(library)
        ) from error
