"""Answers in text: printed as they come, put together from any parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import talk
from cli.commands import predict
from infra.targets.base import Answer
from infra.targets.fakes import FakeTraffic
from modelpack.errors import BadInput, EcomdeployError

LAST = {"answer": "It is pending.", "route": "order", "usage": {"completion_tokens": 4}, "done": True}
STREAM: list[dict[str, Any]] = [{"piece": "It is "}, {"piece": "pending."}, LAST]


def sent(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def speaking(*events: dict[str, Any]) -> FakeTraffic:
    """A live endpoint that answers with these events."""
    traffic = FakeTraffic(images={"one": "image"})
    traffic.endpoints["shop"] = traffic.settle("one")
    traffic.answers["one"] = Answer(status=200, body=sent(*events), content_digest="", latency_ms=1.0)
    return traffic


@given(st.lists(st.integers(1, 20)))
def test_events_do_not_depend_on_how_parts_are_cut(sizes: list[int]) -> None:
    data = sent(*STREAM)

    def parts() -> Iterator[bytes]:
        begin = 0
        for size in sizes:
            yield data[begin : begin + size]
            begin += size
        yield data[begin:]

    assert list(talk.events(parts())) == STREAM


def test_a_stream_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    milliseconds = talk.as_it_comes(speaking(*STREAM), "shop", {"instances": [{"question": "?"}]})
    out = capsys.readouterr().out
    assert out.startswith("  It is pending.\n  (from the order; 4 tokens, the first after ")
    assert milliseconds > 0


def test_a_stream_that_fails_is_an_error() -> None:
    with pytest.raises(EcomdeployError, match="the model stopped: no memory"):
        talk.as_it_comes(speaking({"piece": "It"}, {"error": "no memory"}), "shop", {"instances": []})


def test_whole_answers(capsys: pytest.CaptureFixture[str]) -> None:
    samples = {"streams": True, "names": {}}
    rows = [{"answer": "Only the shop.", "route": "refused", "tokens": 0}]
    predict.tell({"about": "Sing!"}, rows, samples)
    said = capsys.readouterr().out.splitlines()
    assert said == ["Sing!", "  Only the shop.", "  (not a question for this shop; 0 tokens)"]


def test_a_text_goes_where_the_samples_have_theirs() -> None:
    samples: dict[str, Any] = {"requests": [{"request": {"instances": [{"count": 3, "query": "lamp"}]}}]}
    assert predict.choose_body(samples, None, "kettle", 1)["request"] == {"instances": [{"query": "kettle"}]}
    both = {"request": {"instances": [{"customer": "ann", "question": "Where?"}]}, "about": "Where?"}
    assert predict.fill_text(both, "When?") == {"instances": [{"question": "When?"}]}
    assert predict.choose_body(samples, None, None, 1) == samples["requests"][0]
    assert predict.choose_body(samples, "{}", None, 1) == {"request": {}}
    with pytest.raises(BadInput, match="exclude each other"):
        predict.choose_body(samples, "{}", "kettle", 1)
    with pytest.raises(BadInput, match="takes no text"):
        predict.choose_body({"requests": [{"request": {"instances": [{"household": 3}]}}]}, None, "kettle", 1)
