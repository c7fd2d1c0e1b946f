"""A language model as a Hugging Face folder: `config.json` and weights in bfloat16, which vLLM reads."""

from __future__ import annotations

from typing import ClassVar

from modelpack.errors import BadInput
from modelpack.formats.variant import HUGGING_FACE, TORCH, Variant
from modelpack.language.task import LanguageTask
from modelpack.passes.base import EXPORT, Pass, PassContext
from modelpack.runtimes.hardware import CUDA


class HuggingFaceFolder(Pass):
    """For a use case that is a `LanguageTask`, which writes the folder.

    Named in `pack.passes` it takes the place of the export to ONNX, and vLLM that of ONNX Runtime.
    """

    name: ClassVar[str] = "hugging-face"
    title: ClassVar[str] = "Hugging Face folder in bfloat16"
    stage: ClassVar[int] = EXPORT
    takes: ClassVar[str] = TORCH
    gives: ClassVar[str] = HUGGING_FACE
    required: ClassVar[bool] = True
    for_language_models: ClassVar[bool] = True
    hardware: ClassVar[frozenset[str]] = frozenset({CUDA})
    about: ClassVar[str] = "https://docs.vllm.ai/en/latest/models/supported_models.html"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        usecase = context.usecase
        if not isinstance(usecase, LanguageTask):
            raise BadInput(
                f"{usecase.name} is no language model", hint=f"leave {self.name} out of pack.passes"
            )
        model = usecase.load(variant.path)
        return Variant(HUGGING_FACE, usecase.hugging_face_folder(model, context.folder))
