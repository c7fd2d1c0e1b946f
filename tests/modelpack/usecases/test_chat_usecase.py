"""The use case chat: data without leaks, the published model, and that facts make its answers right."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import TORCH, Variant
from modelpack.gate.answers import answers
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.passes.base import PassContext, passes
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for
from modelpack.usecases.chat import data as chat_data
from modelpack.usecases.chat import questions, shop
from modelpack.usecases.chat.data import ChatData
from modelpack.usecases.chat.questions import CALIBRATION, DEVELOPMENT, HELD_OUT
from modelpack.usecases.chat.usecase import Chat
from modelpack.usecases.packages import fetch

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def tables(home: Home) -> shop.Tables:
    return shop.read(fetch(shop.SHOP, home, Silent()))


@pytest.fixture(scope="module")
def data(home: Home) -> ChatData:
    return Chat().prepare(home, Silent())


@pytest.fixture(scope="module")
def trained(data: ChatData, tmp_path_factory: pytest.TempPathFactory) -> Variant:
    usecase = Chat()
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    usecase.save(usecase.train(data, TrainSpec(epochs=1, seed=1), Silent()), path)
    return Variant(TORCH, path)


def few(data: ChatData, count: int = 4) -> ChatData:
    """The same with `count` questions."""
    return dataclasses.replace(data, asked=data.asked[:: len(data.asked) // count][:count])


def test_the_shop(tables: shop.Tables) -> None:
    assert (len(tables.products), len(tables.customers), len(tables.orders)) == (50, 500, 1000)
    sentences = shop.sentences(tables)
    assert "Cancel pending order: An order can only be cancelled if its status is 'pending'." in sentences
    assert not any("agent" in sentence.lower() or "you " in sentence.lower() for sentence in sentences)
    # nothing of a customer or an order is in what anyone may be told
    told = " ".join(sentences)
    assert not any(number in told for number in tables.orders)
    assert not any(
        one["email"] in told or one["address"]["address1"] in told for one in tables.customers.values()
    )
    order = shop.orders(tables)["#W2611340"]
    assert (order["customer"], order["postal_code"]) == (
        "james_li_5688",
        tables.customers["james_li_5688"]["address"]["zip"],
    )


def test_nothing_held_out_was_calibrated_on(tables: shop.Tables) -> None:
    parts = [questions.questions(tables, part) for part in (CALIBRATION, DEVELOPMENT, HELD_OUT)]
    texts = [{one.text for one in part} for part in parts]
    groups = [{one.group for one in part if one.kind != "policy"} for part in parts]
    for sets in (texts, groups):
        assert not any(one & other for one, other in combinations(sets, 2))
    for pick in (questions.in_scope, questions.out_of_scope):
        assert not set(pick(tables, CALIBRATION)) & set(pick(tables, HELD_OUT))
    assert [len(part) for part in parts] == [len(some) for some in texts] == [66, 66, 66]


def test_every_answer_is_in_the_facts_of_its_question(tables: shop.Tables, data: ChatData) -> None:
    """What is asked can be answered: for most questions, the facts that the model sees say what is wanted."""
    talk, _ = chat_data.conversation(data, nothing)
    told = [" ".join(talk.plan(one.text, one.customer, one.postal_code).facts) for one in data.asked]
    there = [all(value in said for value in one.wanted) for one, said in zip(data.asked, told, strict=True)]
    assert np.mean(there) > 0.8


def test_refusals(data: ChatData) -> None:
    talk, _ = chat_data.conversation(data, nothing)
    figures = chat_data.refusals(data, talk)
    assert figures["refused_out_of_scope"] > 0.7
    assert figures["refused_in_scope"] < 0.05


def test_orders_are_told_to_their_own_customers_only(tables: shop.Tables, data: ChatData) -> None:
    talk, _ = chat_data.conversation(data, nothing)
    customers = sorted(tables.customers)
    for number, order in list(tables.orders.items())[::25]:
        own = tables.customers[order["user_id"]]
        asking = f"Where is my order {number}?"
        assert talk.plan(asking, own["user_id"], own["address"]["zip"]).route == "order"
        other = tables.customers[next(name for name in customers if name != own["user_id"])]
        if other["address"]["zip"] != own["address"]["zip"]:
            assert talk.plan(asking, other["user_id"], other["address"]["zip"]).route == "identify"
            assert talk.plan(asking, own["user_id"], other["address"]["zip"]).route == "identify"
        assert talk.plan(asking).route == "identify"


def test_the_published_model_speaks(data: ChatData, trained: Variant) -> None:
    """Weights, rotary positions and tokenizer fit together: it would babble if one did not."""
    run = runtime_for(TORCH).open(trained, Chat())
    talk, _ = chat_data.conversation(data, run)
    prompt = list(talk.prompt("What is the capital of France?"))
    tokens = run({"ids": np.array([prompt]), "scored": np.array([0])})["tokens"][0]
    assert "Paris" in decoded(data, tokens)


@pytest.mark.nightly(like="test_the_published_model_speaks")
@pytest.mark.timeout(3600)
def test_the_pack_answers_like_the_model_in_the_shop_s_own_words(
    data: ChatData, trained: Variant, tmp_path: pathlib.Path
) -> None:
    usecase, some = Chat(), few(data, 4)
    variant = passes().get("onnx").apply(trained, PassContext(usecase, {}, tmp_path / "onnx"))
    reference, run = (
        remember(runtime_for(TORCH).open(trained, usecase)),
        remember(runtime_for(variant.format).open(variant, usecase)),
    )
    one, other = usecase.evaluate(reference, some), usecase.evaluate(run, some)
    np.testing.assert_array_equal(one.ranked, other.ranked)
    (best,) = usecase.baselines(some)
    assert other.values.mean() >= best.evaluation.values.mean()
    assert best.must_beat
    assert other.more["tokens_per_cpu_s"] > one.more["tokens_per_cpu_s"]
    assert answers(usecase, reference, some) == answers(usecase, run, some)


def remember(run: Run) -> Run:
    """The golden requests are among what was evaluated, and the model in torch needs seconds for each."""
    found: dict[bytes, Arrays] = {}

    def ask(feeds: Mapping[str, Any]) -> Arrays:
        key = b"".join(name.encode() + array.tobytes() for name, array in sorted(feeds.items()))
        if key not in found:
            found[key] = run(feeds)
        return found[key]

    return ask


def decoded(data: ChatData, tokens: Any) -> str:
    from tokenizers import Tokenizer

    return str(Tokenizer.from_buffer(data.tokenizer).decode(tokens[tokens >= 0].tolist()))


nothing: Callable[[Any], Any] = dict
