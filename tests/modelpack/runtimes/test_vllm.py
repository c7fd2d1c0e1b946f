"""vLLM as the runtime of language models: its folder, and the server around it with a fake in the engine's place."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_chat
import torch
from model_server import launch
from tiny_chat import MINE, OWNER
from tokenizers import Tokenizer
from waiting import SECONDS, wait_for

from modelpack.digests import sha256_of
from modelpack.errors import BadInput
from modelpack.formats.variant import HUGGING_FACE, TORCH, Variant
from modelpack.language import hugging_face as folder
from modelpack.language.llama import Llama, assemble
from modelpack.passes.base import PassContext, applicable, in_order, of_use
from modelpack.passes.hugging_face import HuggingFaceFolder
from modelpack.runtimes.base import runtime_for, served_formats
from modelpack.runtimes.hardware import CUDA
from modelpack.server.engines.base import InvalidInput, TokenGenerator, TokenScorer
from modelpack.server.engines.load import choose
from modelpack.server.engines.vllm import FakeLlmEngine, VllmEngine, load, open_vllm
from modelpack.server.handlers.chat import orders
from modelpack.server.handlers.chat.conversation import Conversation
from modelpack.server.handlers.chat.request import ChatInstance
from modelpack.server.handlers.chat.worker import AnswerWorker, ChatAnswer
from modelpack.server.http.batch import Batcher
from modelpack.server.signature import Decoding, ModelSignature, Needs, Unfit
from modelpack.usecases.chat import Chat
from modelpack.usecases.fraud import Fraud

DECODING = Decoding(end=tiny_chat.END, most_new=tiny_chat.MOST_NEW)
STATUS = ChatInstance(f"What is the status of {MINE}?", **OWNER)
PROMPTS = ([1, 40, 41, 42, 2], list(range(3, 60)), [7])


@pytest.fixture(scope="module")
def model() -> Llama:
    """One whose weights are bfloat16's already, so that the folder holds the very same."""
    full = tiny_chat.model()
    rounded = {name: value.bfloat16().float() for name, value in full.state_dict().items()}
    return assemble(full.shape, {}, rounded)


class Tiny(Chat):
    """Chat around the tiny model."""

    decoding = DECODING


@pytest.fixture(scope="module")
def variants(model: Llama, tmp_path_factory: pytest.TempPathFactory) -> tuple[Variant, Variant]:
    """As trained, and as the pass writes it."""
    root = tmp_path_factory.mktemp("variants")
    trained = Variant(TORCH, root / "model.safetensors")
    Tiny().save(model, trained.path)
    return trained, HuggingFaceFolder().apply(trained, PassContext(Tiny(), {}, root / "made"))


def test_the_folder_holds_the_very_model(model: Llama, variants: tuple[Variant, Variant]) -> None:
    back = folder.read(variants[1].path.parent, tiny_chat.MOST_NEW)
    assert back.shape == model.shape
    ids = torch.arange(3, 60)
    with torch.inference_mode():
        assert torch.equal(back.step(ids, 0, back.empty()), model.step(ids, 0, model.empty()))


def test_rotary_halves_are_not_the_pairs(model: Llama) -> None:
    """Were the rows of queries left as they are, others would read another model."""
    found = folder.theirs(model.state_dict(), model.shape)
    query = found["model.layers.0.self_attn.q_proj.weight"]
    own = model.state_dict()["layers.0.attention.weight"][: len(query)]
    size = model.shape.size
    assert not torch.equal(query, own)
    for head in range(model.shape.heads):
        first = head * size
        assert torch.equal(query[first + 1], own[first + 2])
        assert torch.equal(query[first + size // 2], own[first + 1])


def test_the_same_bytes_on_any_path(variants: tuple[Variant, Variant], tmp_path: Path) -> None:
    again = HuggingFaceFolder().apply(variants[0], PassContext(Tiny(), {}, tmp_path / "other"))
    assert again.format == HUGGING_FACE
    assert set(again.files) == {"config.json", "model.safetensors", "tokenizer_config.json"}
    for name, path in again.files.items():
        assert sha256_of(path) == sha256_of(variants[1].files[name])


def test_without_a_gpu_the_folder_answers_through_torch(variants: tuple[Variant, Variant]) -> None:
    trained, made = variants
    for prompt in PROMPTS:
        feeds = {"ids": torch.tensor([prompt]).numpy(), "scored": torch.zeros(1, dtype=torch.int64).numpy()}
        want = runtime_for(TORCH).open(trained, Tiny())(feeds)["tokens"]
        assert (runtime_for(HUGGING_FACE, CUDA).open(made, Tiny())(feeds)["tokens"] == want).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "architectures"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"rope_parameters": {"rope_theta": 1e4, "rope_type": "llama3"}}, "rope_parameters"),
        ({"num_hidden_layers": 3}, "KeyError"),
        ({"vocab_size": None}, "not a folder"),
    ],
)
def test_another_model_is_refused(
    variants: tuple[Variant, Variant], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    for name, path in variants[1].files.items():
        (tmp_path / name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(BadInput, match=said):
        folder.read(tmp_path, 3)


def test_it_is_there_for_who_names_it(tmp_path: Path) -> None:
    """One export each: named, the folder takes the place of the graph; a search does not come upon it."""
    assert HUGGING_FACE in served_formats(CUDA)
    assert [one.name for one in in_order(("hugging-face",), tmp_path)] == ["hugging-face"]
    assert [one.name for one in in_order(("onnx", "hugging-face"), tmp_path)] == ["onnx"]
    assert "hugging-face" not in of_use(
        applicable(("onnx",), served_formats(CUDA), tmp_path), Fraud(), tmp_path
    )


def writer(say: Any, together: int = 1) -> tuple[VllmEngine, FakeLlmEngine]:
    engine = FakeLlmEngine(say, together)
    return VllmEngine(DECODING, tiny_chat.LONGEST, lambda: engine), engine


def repeated(token: int) -> Any:
    def say(prompt: Sequence[int]) -> Iterable[int]:
        while True:
            yield token

    return say


def test_answers_end_where_the_model_or_the_bounds_say() -> None:
    ending, _ = writer(lambda prompt: [70, 71, tiny_chat.END, 72])
    endless, _ = writer(repeated(70))
    assert isinstance(ending, TokenGenerator)
    assert list(ending.tokens([5])) == [70, 71]
    assert list(endless.tokens([5])) == [70] * tiny_chat.MOST_NEW
    assert list(endless.tokens([5], most=2)) == [70] * 2
    assert list(endless.tokens([3] * (tiny_chat.LONGEST - 2))) == [70] * 2
    for prompt in ([], [3] * tiny_chat.LONGEST):
        with pytest.raises(InvalidInput, match="are possible"):
            list(endless.tokens(prompt))
    assert endless.room == tiny_chat.LONGEST - tiny_chat.MOST_NEW


class Held:
    """Says a letter only when it is let, and would never end by itself."""

    def __init__(self, letters: int, token: int = 70) -> None:
        self.let, self.token = threading.Semaphore(letters), token

    def __call__(self, prompt: Sequence[int]) -> Iterable[int]:
        while self.let.acquire(timeout=SECONDS):
            yield self.token


def test_who_stops_asking_stops_the_engine() -> None:
    held = Held(1)
    endless, engine = writer(held)
    written = endless.tokens([5])
    assert next(iter(written)) == 70
    del written
    held.let.release(1000)
    wait_for(lambda: engine.stopped == ["answer-0"])
    assert list(endless.tokens([5], most=1)) == [70]


def test_what_the_engine_raises_reaches_the_caller() -> None:
    def broken(prompt: Sequence[int]) -> Iterable[int]:
        yield 70
        raise RuntimeError("the engine is dead")

    failing, _ = writer(broken)
    with pytest.raises(RuntimeError, match="the engine is dead"):
        list(failing.tokens([5]))


def test_texts_are_weighed() -> None:
    vllm = VllmEngine(DECODING, tiny_chat.LONGEST, lambda: FakeLlmEngine(repeated(70), 1, {8: -1.5, 9: -2.0}))
    assert isinstance(vllm, TokenScorer)
    assert vllm.likelihood([5, 9, 8, 9], 2) == -3.5
    answered = vllm.run({"ids": np.array([[5, 8, -1], [5, 9, 8]]), "scored": np.array([0, 2])})
    assert answered["likelihood"].tolist() == [0.0, -3.5]
    assert (answered["tokens"][0] == 70).all()
    assert (answered["tokens"][1] == -1).all()
    for ids, count in (([5], 1), ([5, 6], 2), ([5, 6], 0), ([5] * tiny_chat.LONGEST, 1)):
        with pytest.raises(InvalidInput, match="are possible"):
            vllm.likelihood(ids, count)


def worker(say: Any, together: int = 1) -> tuple[AnswerWorker, FakeLlmEngine]:
    vllm, engine = writer(say, together)
    table = orders.read(tiny_chat.orders())
    talk = Conversation(
        tiny_chat.KNOWLEDGE, table, tiny_chat.tokenizer(), vllm.tokens, vllm.room, vllm.at_once
    )
    return AnswerWorker(talk, Batcher(talk, 1, lambda rows, seconds: None)), engine


async def asked(worker: AnswerWorker, question: ChatInstance) -> list[str | ChatAnswer]:
    return [event async for event in worker.ask(question, None, threading.Event())]


def test_the_shop_s_own_front_stays() -> None:
    """Facts, the order tool and refusals are decided before the engine is asked at all."""
    prompts: list[list[int]] = []

    def say(prompt: Sequence[int]) -> Iterable[int]:
        prompts.append(list(prompt))
        return [70, 71, tiny_chat.END]

    own, _ = worker(say)
    *pieces, said = asyncio.run(asked(own, STATUS))
    assert isinstance(said, ChatAnswer)
    assert (said.route, said.usage.completion_tokens, "".join(map(str, pieces))) == ("order", 2, said.answer)
    for question in (ChatInstance("Sing about the moon"), ChatInstance(STATUS.question)):
        (_, refused) = asyncio.run(asked(own, question))
        assert isinstance(refused, ChatAnswer)
        assert refused.route in ("refused", "identify")
    assert len(prompts) == 1


def test_several_are_answered_at_once() -> None:
    """The engine says nothing before it has three questions: one after another would wait for ever."""
    own, _ = worker(lambda prompt: [70, tiny_chat.END], together=3)

    async def all_of_them() -> list[list[str | ChatAnswer]]:
        return await asyncio.wait_for(asyncio.gather(*(asked(own, STATUS) for _ in range(3))), 30)

    answers = asyncio.run(all_of_them())
    assert [one[:-1] for one in answers] == [answers[0][:-1]] * 3


def test_a_caller_who_goes_stops_the_engine() -> None:
    # the sentence's own first letter, which is told at once
    begun = Tokenizer.from_str(tiny_chat.tokenizer().decode()).token_to_id("T")
    held, gone = Held(2, int(begun or 0)), threading.Event()
    own, engine = worker(held)

    async def leave() -> None:
        asking = own.ask(STATUS, None, gone)
        await anext(asking)
        gone.set()
        # the answering thread is at its next token, or sees already that nobody is there
        held.let.release()
        assert not [event async for event in asking if isinstance(event, ChatAnswer)]

    asyncio.run(leave())
    held.let.release(1000)
    wait_for(lambda: engine.stopped == ["answer-0"])


def test_nothing_stands_in_for_it_on_the_cpu() -> None:
    signature = ModelSignature(1, "chat", "vllm", "model.safetensors", (), (), needs=Needs("cuda", "13.0"))
    for allowed in (False, True):
        with pytest.raises(
            Unfit, match=r"no driver here. This pack is for a GPU, and nothing stands in for vllm"
        ):
            choose(signature, allowed, lambda: "no driver here")


def test_a_server_without_a_gpu_refuses(tmp_path: Path) -> None:
    root = tmp_path / "root"
    tiny_chat.tree(root, runtime="vllm", needs={"hardware": "cuda", "cuda": "13.0"})
    process = launch(root, {"ECOMDEPLOY_ALLOW_CPU": "1"})
    try:
        assert process.process.wait(SECONDS) == 3, process.output.read_text()
    finally:
        process.end()
    reason = next(line["reason"] for line in process.lines() if line["event"] == "refused")
    assert "nothing stands in for vllm" in reason


class AsyncLLM:
    """Where vLLM would be: what was asked of it, and the answer's parts as it gives them, the stop token last."""

    def __init__(self, arguments: Any) -> None:
        self.arguments = arguments
        self.asked: list[tuple[Any, Any, str]] = []

    @classmethod
    def from_engine_args(cls, arguments: Any) -> AsyncLLM:
        asyncio.get_running_loop()
        arguments.made.append(cls(arguments))
        return arguments.made[-1]

    async def generate(self, prompt: Any, sampling_params: Any, request_id: str) -> AsyncIterator[Any]:
        self.asked.append((prompt, sampling_params, request_id))
        if sampling_params.output_kind == "final":
            found = [{token: SimpleNamespace(logprob=-0.5 * token)} for token in prompt["prompt_token_ids"]]
            yield SimpleNamespace(prompt_logprobs=[None, *found[1:]])
            return
        for part in ([70, 71], [72, tiny_chat.END]):
            yield SimpleNamespace(outputs=[SimpleNamespace(token_ids=part)])


def test_what_is_asked_of_vllm(variants: tuple[Variant, Variant], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names as in vLLM's sources; that vLLM does as they say only a GPU can tell."""
    made: list[AsyncLLM] = []
    contents: dict[str, dict[str, Any]] = {
        "vllm": {"TokensPrompt": dict},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"AsyncEngineArgs": lambda **more: SimpleNamespace(made=made, **more)},
        "vllm.sampling_params": {
            "RequestOutputKind": SimpleNamespace(DELTA="delta", FINAL_ONLY="final"),
            "SamplingParams": SimpleNamespace,
        },
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.async_llm": {"AsyncLLM": AsyncLLM},
    }
    for name, content in contents.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    vllm = open_vllm(DECODING, variants[1].path)
    assert list(vllm.tokens([5, 6], most=9)) == [70, 71, 72]
    (engine,) = made
    assert (engine.arguments.model, engine.arguments.dtype) == (str(variants[1].path.parent), "bfloat16")
    assert engine.arguments.max_model_len == vllm.longest == tiny_chat.LONGEST
    ((prompt, wanted, _),) = engine.asked
    assert prompt == {"prompt_token_ids": [5, 6]}
    assert (wanted.temperature, wanted.max_tokens, wanted.stop_token_ids) == (0.0, 9, [tiny_chat.END])
    assert vllm.likelihood([5, 6, 7, 8], 2) == -7.5
    (_, (prompt, wanted, _)) = engine.asked
    assert (prompt["prompt_token_ids"], wanted.prompt_logprobs, wanted.max_tokens) == ([5, 6, 7, 8], 0, 1)


def test_a_folder_without_vllm_installed_is_unfit(variants: tuple[Variant, Variant]) -> None:
    signature = ModelSignature(1, "chat", "vllm", "model.safetensors", (), (), decoding=DECODING)
    with pytest.raises(Unfit, match=r"model\.safetensors cannot be loaded: ModuleNotFoundError"):
        load(signature, variants[1].path)
