"""A bound on what loading a model may make: sizes in a stranger's metadata are looked at before memory is taken.

Every operator of torch that makes a tensor anew has an argument `device` (native_functions.yaml). Asked of the device
"meta" first it tells the size and takes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from modelpack.errors import BadInput

LEAST = 256_000_000
"""Bytes that may be made whatever the file's size."""
TIMES = 6
"""Bytes for each of the file's."""
MOST_TENSORS = 20_000
MOST_SIZES = 1_000_000
"""Widths, vocabularies and layers together, beside one for each of the file's bytes."""


def bound_allocation(size: int) -> AbstractContextManager[Any]:
    """Within it torch makes tensors for a model of `size` bytes, and raises BadInput where they would be more."""
    from torch.utils._python_dispatch import TorchDispatchMode

    mode: Any = TorchDispatchMode

    class AllocationBound(mode):  # type: ignore[misc]
        left, tensors = LEAST + TIMES * size, 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            given = dict(kwargs or {})
            if any(argument.name == "device" for argument in func._schema.arguments):
                self.tensors += 1
                self.take(0 if str(given.get("device")) == "meta" else planned_bytes(func, args, given))
            return func(*args, **given)

        def take(self, count: int) -> None:
            self.left -= count
            if self.left < 0:
                what = f"its metadata asks for tensors of {count:,} bytes, and the file has {size:,}"
                raise BadInput(what)
            if self.tensors > MOST_TENSORS:
                raise BadInput(f"its metadata asks for more than {MOST_TENSORS:,} tensors")

    bound: AbstractContextManager[Any] = AllocationBound()
    return bound


def check_sizes(shape: Any, size: int) -> None:
    """Raises BadInput where the whole numbers of a model's `shape` are more than a file of `size` bytes can hold:
    not everything that is made by them is a tensor."""
    waiting, total = [shape], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, int):
            total += abs(one)
    if total > MOST_SIZES + size:
        raise BadInput(
            f"its metadata asks for sizes of {min(total, 10**18):,} in all, and the file has {size:,} bytes"
        )


def planned_bytes(func: Any, args: Any, given: dict[str, Any]) -> int:
    """What a call would make, found without making it."""
    made = func(*args, **{**given, "device": "meta"})
    return int(math.prod(made.shape) * made.element_size())
