"""Chat from a tiny language model through the gate into a server's folder, and out of the server again."""

from __future__ import annotations

import json
import pathlib

import httpx
import pytest
import tiny_chat
from model_server import launch, write_file_manifest
from tiny_chat import OWNER
from tiny_chat_usecase import STATUS, TinyChat
from waiting import SECONDS

from modelpack.assembly import contents
from modelpack.assembly import needs as binding
from modelpack.formats.signature import Signature
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.gate.answers import answers
from modelpack.gate.trial import Judged, Trials, through_the_gate
from modelpack.home import Home
from modelpack.inputs.environment import ServingEnvironment
from modelpack.inputs.spec import GateSpec
from modelpack.passes.base import in_order
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for
from modelpack.runtimes.hardware import CPU
from modelpack.server.golden import Golden
from modelpack.server.signature import Tensor
from modelpack.usecases.chat.usecase import MOST_NEW, Chat
from modelpack.usecases.optional.serving import companions_of


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trials, Judged]:
    folder = tmp_path_factory.mktemp("chat")
    usecase = TinyChat()
    data = usecase.prepare(Home(folder, folder), Silent())
    (folder / "trained").mkdir()
    reference = Variant(TORCH, folder / "trained" / "model.safetensors")
    usecase.save(tiny_chat.model(most_new=MOST_NEW), reference.path)
    trials = Trials(usecase, data, reference, folder, Silent(), peak=lambda *_: 1.0)
    passes = in_order(usecase.passes, folder)
    return trials, through_the_gate(trials, passes, GateSpec())


def test_the_graph_answers_like_the_model(judged: tuple[Trials, Judged]) -> None:
    trials, found = judged
    onnx, *others = found.verdicts
    assert (onnx.name, onnx.kept, found.variant.format) == ("onnx", True, ONNX)
    assert found.chosen.more["agreement"] == 1.0
    # random weights were published in no blocks
    assert [one.reason.partition(":")[0] for one in others] == ["does not apply"] * 2
    assert trials.evaluation(trials.reference).values.tolist() == found.evaluation.values.tolist()


def test_figures_of_the_record(judged: tuple[Trials, Judged]) -> None:
    _, found = judged
    more = found.chosen.as_data()
    assert more["refused_out_of_scope"] == 0.5
    assert more["refused_in_scope"] == 0.0
    assert more["tokens_per_cpu_s"] > 0
    assert found.evaluation.metric == "exactness"


def test_the_server_says_what_the_gate_heard(judged: tuple[Trials, Judged], tmp_path: pathlib.Path) -> None:
    trials, found = judged
    usecase, run = trials.usecase, trials.run(found.variant)
    golden = tuple(Golden(*pair) for pair in answers(usecase, run, trials.data))
    assert [one.answer["predictions"][0]["route"] for one in golden] == [
        "order",
        "shop",
        "identify",
        "refused",
    ]
    document = contents.serving(
        ServingEnvironment(runtime_for(ONNX), usecase), found.variant, golden, binding.expect_needs(CPU)
    )
    assert document["decoding"]["prefix"]
    folder = tmp_path / "root" / "opt/ecomdeploy/model"
    folder.mkdir(parents=True)
    for name, content in contents.model(found.variant, document, companions_of(usecase, trials.data)).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    write_file_manifest(tmp_path / "root")
    process = launch(tmp_path / "root")
    try:
        process.wait_ready()
        body = {"instances": [{"question": STATUS, **OWNER}]}
        heard = httpx.post(f"{process.url}/invocations", json=body, timeout=SECONDS).json()
    finally:
        process.end()
    assert heard == json.loads(json.dumps(golden[0].answer))


def test_what_callers_send_and_what_the_model_takes() -> None:
    chat = Chat()
    assert chat.signature() == Signature(
        (Tensor("ids", "INT64", (-1, -1)), Tensor("scored", "INT64", (-1,), 0)),
        (Tensor("tokens", "INT64", (-1, MOST_NEW)), Tensor("likelihood", "FP32", (-1,))),
    )
    assert [tensor.default for tensor in chat.interface().inputs] == [None, "", ""]
