"""PyTorch as it trained: the reference that every pass is measured against. It serves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import TORCH, Variant
from modelpack.runtimes import torch_thread
from modelpack.runtimes.base import Loadable, Runtime


class Eager(Runtime):
    """Executes the use case's torch module, one thread."""

    name: ClassVar[str] = "eager"
    format: ClassVar[str] = TORCH
    serves: ClassVar[bool] = False

    def open(self, variant: Variant, task: Loadable) -> Run:
        return on_one_thread(task.load(variant.path), task)

    def open_inner(self, variant: Variant, task: Loadable, value: str) -> Run:
        """The module's method of that name."""
        import torch

        method = getattr(task.load(variant.path), value)
        names = [tensor.name for tensor in task.signature().inputs]

        def run(arrays: Arrays) -> Arrays:
            with torch_thread.inference():
                found = method(*(torch.from_numpy(arrays[name]) for name in names))
            return {value: found.numpy()}

        return run


def on_one_thread(model: Callable[..., Sequence[Any]], task: Loadable) -> Run:
    """A callable from tensors to tensors, run by names of the signature on one thread of torch."""
    import torch

    signature = task.signature()
    inputs = [tensor.name for tensor in signature.inputs]
    outputs = [tensor.name for tensor in signature.outputs]

    def run(arrays: Arrays) -> Arrays:
        with torch_thread.inference():
            answers = model(*(torch.from_numpy(arrays[name]) for name in inputs))
        return {name: answer.numpy() for name, answer in zip(outputs, answers, strict=True)}

    return run
