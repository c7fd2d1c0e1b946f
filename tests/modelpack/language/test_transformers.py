"""The folder that vLLM reads, read by the library whose format it is: `make test-keras`, an environment of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_chat
import torch

from modelpack.language import hugging_face as folder
from modelpack.language.llama import assemble

transformers = pytest.importorskip(
    "transformers", reason="needs the extra `tensorflow`: make test-keras runs it"
)
pytestmark = pytest.mark.slow


def test_transformers_reads_the_very_model(tmp_path: Path) -> None:
    """Logits of every place of a text, to float32's last bits; a rotary base that is nobody's default."""
    full = tiny_chat.model()
    rounded = {name: value.bfloat16().float() for name, value in full.state_dict().items()}
    model = assemble(replace(full.shape, base=5000.0), {}, rounded)
    folder.write(model, tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(tiny_chat.tokenizer())
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.arange(3, 60)
    with torch.inference_mode():
        found = theirs(ids[None]).logits[0]
        for count in (1, 2, 30, len(ids)):
            wanted = model.step(ids[:count], 0, model.empty())
            torch.testing.assert_close(found[count - 1], wanted, rtol=1e-4, atol=1e-4)
    words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert words.decode(words("An order")["input_ids"]) == "An order"
