"""Chat for a GPU, up to its border: answers that outlast rounding, attention in 16 bits, caches on a device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_chat
import tokenizers
import torch
from tiny_chat_usecase import TinyChat

from modelpack.assembly import contents
from modelpack.assembly import needs as binding
from modelpack.build import name_fallbacks
from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.onnx_files import write
from modelpack.formats.variant import HUGGING_FACE, ONNX, TORCH, Variant
from modelpack.gate.answers import answers
from modelpack.gate.memory import peak_mb
from modelpack.gate.trial import Trials, through_the_gate
from modelpack.home import Home
from modelpack.inputs.environment import ServingEnvironment
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import GateSpec, ModelSpec, PackSpec
from modelpack.language.llama import Llama, assemble
from modelpack.language.step_graph import step_graph
from modelpack.passes.base import in_order
from modelpack.passes.hugging_face import HuggingFaceFolder
from modelpack.passes.shared.half_attention import half_attention, on_the_cpu
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for
from modelpack.runtimes.hardware import CUDA
from modelpack.server.engines.decoder import PROVIDERS, Decoder
from modelpack.server.engines.decoder import load as load_decoder
from modelpack.server.golden import Golden
from modelpack.server.prove import prove
from modelpack.server.signature import Decoding, Unfit
from modelpack.usecases.chat import Chat
from modelpack.usecases.chat.lasting import Choices, Heard, as_in, choose_lasting, find_bound, lasting, logits
from modelpack.usecases.chat.questions import Question
from modelpack.usecases.chat.usecase import MOST_NEW
from modelpack.usecases.optional.serving import companions_of

DECODING = Decoding(end=tiny_chat.END, most_new=tiny_chat.MOST_NEW, ahead=3)
PROMPTS = ([1, 40, 41, 42, 2], list(range(3, 60)), [7])


def place(letter: str) -> int:
    """A letter's token."""
    return int(tokenizers.Tokenizer.from_str(tiny_chat.tokenizer().decode()).token_to_id(letter) or 0)


def sure_model(letter: str = "A") -> Llama:
    """One that is never in two minds: it says the letter again and again, and its layers add little."""
    model = tiny_chat.model(most_new=MOST_NEW)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for name, value in weights.items():
        if name.endswith(("attended.weight", "outer.weight")):
            value *= 0.1
    words = weights["words.weight"]
    # a prompt ends with a new line
    words[place(letter)] += 2 * words[place("Ċ")]
    return assemble(model.shape, {}, weights)


def torn_model() -> Llama:
    """Another letter is all but as likely as the one it says."""
    model = sure_model()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    weights["words.weight"][place("B")] = weights["words.weight"][place("A")] * 0.99999
    return assemble(model.shape, {}, weights)


def trials(model: Llama, folder: Path, hardware: str = CUDA) -> Trials:
    usecase = TinyChat()
    data = usecase.prepare(Home(folder, folder), Silent())
    (folder / "trained").mkdir()
    reference = Variant(TORCH, folder / "trained" / "model.safetensors")
    usecase.save(model, reference.path)
    return Trials(usecase, data, reference, folder, Silent(), peak=lambda *_: 1.0, hardware=hardware)


def heard(kind: str, margin: float, swing: float, weighed: float = 9.0) -> Heard:
    return Heard(Question("?", kind, "", ()), Choices(5, margin, swing), Choices(1, weighed, 0.1))


def test_what_clears_the_bound_is_chosen() -> None:
    every = [
        heard("a", 0.9, 0.4), heard("a", 1.5, 0.2), heard("b", 1.1, 0.5), heard("c", 1.0, 0.1),
        heard("d", 0.01, 0.0), heard("e", 5.0, 0.1, weighed=0.05),
    ]  # fmt: skip
    assert find_bound(every, 2.0) == 1.0
    assert [(one.question.kind, one.written.margin) for one in lasting(every, 2.0)] == [
        ("b", 1.1),
        ("a", 1.5),
    ]


def test_a_swing_is_what_rounding_gives_another_token() -> None:
    steps = Choices()
    steps.add(
        torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 5.0]]), torch.tensor([[2.9, 1.2, 0.0], [0.0, 0.5, 5.4]])
    )
    assert (steps.count, steps.margin) == (2, 2.0)
    assert steps.swing == pytest.approx(0.3)


def test_rounding_moves_logits_and_leaves_the_model() -> None:
    model, ids = sure_model(), torch.arange(3, 60)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        exact = logits(model, ids, 4)
        assert torch.allclose(exact[-1], model.step(ids, 0, model.empty()), atol=1e-4)
        off = {kind: float((logits(as_in(model, kind), ids, 4) - exact).abs().max()) for kind in
               (torch.float16, torch.bfloat16)}  # fmt: skip
    assert 0 < off[torch.float16] < off[torch.bfloat16] / 3
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("arithmetic", ["float16", "bfloat16"])
def test_near_ties_are_no_golden_answers(arithmetic: str, tmp_path: Path) -> None:
    data = TinyChat().prepare(Home(tmp_path, tmp_path), Silent())
    found, told = choose_lasting(sure_model(), data, arithmetic)
    assert found
    assert told["least_margin"] > told["bound"] >= told["greatest_swing"] > 0
    with pytest.raises(EcomdeployError, match=f"sure enough to hold in {arithmetic}"):
        choose_lasting(torn_model(), data, arithmetic)


def graph(model: Llama, folder: Path) -> Path:
    made = step_graph(model)
    assert half_attention(made) == model.shape.layers
    assert half_attention(made) == 0
    return write(made, folder).path


def test_attention_in_16_bits_says_the_same(tmp_path: Path) -> None:
    model = sure_model()
    decoder = Decoder(DECODING, graph(model, tmp_path), 1, "cpu")
    with torch.inference_mode():
        for prompt in PROMPTS:
            want = model.step(torch.tensor(prompt), 0, model.empty()).numpy()
            np.testing.assert_allclose(decoder.step(prompt, 0)[0], want, rtol=0.02, atol=0.05)


def test_every_operator_of_the_step_has_a_cuda_kernel(tmp_path: Path) -> None:
    model = tiny_chat.model()
    assert on_the_cpu(step_graph(model)) == ("GroupQueryAttention (float)",)
    halved = onnx.load(str(graph(model, tmp_path)))
    assert on_the_cpu(halved) == ()
    halved.graph.node[-1].op_type = "Erf"
    assert on_the_cpu(halved) == ("Erf (float)",)


def test_without_the_cuda_provider_a_decoder_for_it_is_unfit(tmp_path: Path) -> None:
    assert PROVIDERS["cuda"][0][1] == {"use_tf32": "0"}
    with pytest.raises(Unfit, match="did not load CUDAExecutionProvider"):
        load_decoder(DECODING, graph(tiny_chat.model(), tmp_path), 1, "cuda")


def packed(
    made: Trials, passes: tuple[str, ...], folder: Path
) -> tuple[Variant, dict[str, Any], tuple[Golden, ...]]:
    """The model's folder of an image for a GPU; its golden answers are the CPU's."""
    required = [one for one in in_order(passes, folder) if one.required]
    judged = through_the_gate(made, required, GateSpec())
    requests, told = made.golden(judged.variant)
    pairs = answers(made.usecase, made.run(judged.variant), made.data, requests)
    golden = tuple(Golden(*pair) for pair in pairs)
    served = ServingEnvironment(runtime_for(judged.variant.format, CUDA), made.usecase)
    document = contents.serving(served, judged.variant, golden, binding.expect_needs(CUDA))
    for name, content in contents.model(
        judged.variant, document, companions_of(made.usecase, made.data)
    ).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    if judged.variant.format == ONNX:
        assert name_fallbacks(served, judged.variant) == {"without_cuda_kernel": []}
    return judged.variant, dict(told), golden


def ask_golden(folder: Path) -> None:
    """As the server of the image does, a rehearsal allowing the CPU."""
    count, hardware = prove(folder, lambda: "no driver here").split()
    assert int(count) > 0
    assert hardware == "cpu"


def test_chat_for_onnx_runtime_on_a_gpu(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    variant, told, golden = packed(trials(sure_model(), tmp_path), ("onnx",), folder)
    assert (variant.format, told["arithmetic"]) == (ONNX, "float16")
    assert json.loads((folder / "serving.json").read_text())["runtime"] == "onnxruntime-cuda"
    routes = [one.answer["predictions"][0]["route"] for one in golden]
    assert {"identify", "refused"} < set(routes)
    ask_golden(folder)
    other = write(_halved(sure_model("<|im_end|>")), tmp_path / "other")
    for name, path in other.files.items():
        (folder / name).write_bytes(path.read_bytes())
    with pytest.raises(Unfit, match="golden request 0 was answered wrong"):
        ask_golden(folder)


def _halved(model: Llama) -> onnx.ModelProto:
    made = step_graph(model)
    half_attention(made)
    return made


def test_chat_for_vllm(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    variant, told, golden = packed(trials(sure_model(), tmp_path), ("hugging-face",), folder)
    assert (variant.format, told["arithmetic"]) == (HUGGING_FACE, "bfloat16")
    assert {"config.json", "model.safetensors", "tokenizer.json", "serving.json"} <= {
        one.name for one in folder.iterdir()
    }
    assert len(golden) >= 3
    with pytest.raises(Unfit, match="nothing stands in for vllm"):
        ask_golden(folder)


def test_on_the_cpu_nothing_is_chosen(tmp_path: Path) -> None:
    made = trials(torn_model(), tmp_path, "cpu")
    assert made.golden(made.reference) == (made.usecase.golden(made.data), {})


def test_a_graph_that_was_given_tells_no_margins(tmp_path: Path) -> None:
    made = trials(tiny_chat.model(), tmp_path)
    given = replace(made, reference=Variant(ONNX, tmp_path / "model.onnx"))
    with pytest.raises(BadInput, match="a graph was given"):
        given.golden(given.reference)


@pytest.mark.parametrize(("wanted", "export"), [(None, "onnx"), (("hugging-face",), "hugging-face")])
def test_what_is_packed_for_a_gpu(wanted: tuple[str, ...] | None, export: str, tmp_path: Path) -> None:
    pack = PackSpec() if wanted is None else PackSpec(passes=wanted)
    inputs = resolve(PackRequest("chat", ModelSpec(), pack, "ml.g6.xlarge", tmp_path, hardware=CUDA))
    assert [one.name for one in inputs.passes if one.required] == [export]


def test_a_search_leaves_language_models_passes_to_language_models(tmp_path: Path) -> None:
    for usecase in ("recommendation", "chat"):
        request = PackRequest(
            usecase, ModelSpec(), PackSpec(passes=("auto",)), "ml.g6.xlarge", tmp_path, hardware=CUDA
        )
        inputs = resolve(request)
        assert [one.name for one in inputs.passes if one.required] == ["onnx"]
        assert "hugging-face" not in [one.name for one in inputs.passes]


def test_memory_of_what_only_a_gpu_serves(tmp_path: Path) -> None:
    """A fresh process opens the folder by its own runtime."""
    made = trials(sure_model(), tmp_path)
    variant = made.make(HuggingFaceFolder(), made.reference)
    assert peak_mb(variant, Chat(), {"ids": np.array([[1, 40, 41]]), "scored": np.zeros(1, np.int64)}) > 50
