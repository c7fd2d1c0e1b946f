"""OpenVINO as passes and runtime: the same answers, the same bytes, refusals, and the server's own executor."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_usecase import ITEMS, Tiny

from modelpack.assembly.proof import golden_answers
from modelpack.build import PackRequest, build, find_known
from modelpack.digests import sha256_of
from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.variant import ONNX, OPENVINO, Variant
from modelpack.home import Home
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.unpack import unpack
from modelpack.inputs.spec import ModelSpec, PackSpec, TrainSpec
from modelpack.passes.base import PassContext, applicable, passes
from modelpack.passes.openvino import OpenVinoBf16, OpenVinoInt8, OpenVinoIr, has_any
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for, served_formats
from modelpack.server.engines.base import InvalidInput
from modelpack.server.engines.load import load
from modelpack.server.signature import ModelSignature, Tensor, Unfit

openvino = pytest.importorskip("openvino")


def data() -> tuple[np.ndarray, np.ndarray]:
    items = np.arange(1, ITEMS, dtype=np.int64)
    return items, (items * 7 + 3) % ITEMS


def context(folder: Path) -> PassContext:
    return PassContext(Tiny(), Tiny().examples(data(), 64), folder)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "trained").mkdir()
    path = folder / "trained" / "model.safetensors"
    Tiny().save(Tiny().train(data(), TrainSpec(), Silent()), path)
    return passes().get("onnx").apply(Variant("torch", path), context(folder / "onnx"))


@pytest.fixture(scope="module")
def variants(graph: Variant, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Variant]:
    folder = tmp_path_factory.mktemp("ir")
    return {
        kind.name: kind().apply(graph, context(folder / kind.name)) for kind in (OpenVinoIr, OpenVinoInt8)
    }


@pytest.mark.parametrize("name", ["openvino", "openvino-int8"])
def test_it_answers_as_the_graph_does(graph: Variant, variants: dict[str, Variant], name: str) -> None:
    variant = variants[name]
    assert variant.format == OPENVINO
    assert set(variant.files) == {"model.xml", "model.bin"}
    run, before = runtime_for(OPENVINO).open(variant, Tiny()), runtime_for(ONNX).open(graph, Tiny())
    for count in (1, 3, 64):
        given = {"item": np.arange(1, count + 1, dtype=np.int64)}
        got, want = run(given), before(given)
        assert (got["next"] == want["next"]).all()
        assert got["next"].dtype == want["next"].dtype
        np.testing.assert_allclose(got["score"], want["score"], rtol=0.05, atol=0.02)


def test_an_answer_is_not_changed_by_the_next_call(variants: dict[str, Variant]) -> None:
    run = runtime_for(OPENVINO).open(variants["openvino"], Tiny())
    first = run({"item": np.array([1], dtype=np.int64)})["next"]
    kept = first.copy()
    run({"item": np.array([2], dtype=np.int64)})
    assert (first == kept).all()


def test_weights_in_int8_are_a_quarter(variants: dict[str, Variant]) -> None:
    assert variants["openvino-int8"].size_mb < 0.45 * variants["openvino"].size_mb


def test_the_same_graph_gives_the_same_bytes_on_another_path(
    graph: Variant, variants: dict[str, Variant], tmp_path: Path
) -> None:
    moved = tmp_path / "quite" / "elsewhere"
    shutil.copytree(graph.path.parent, moved)
    for name, variant in variants.items():
        again = passes().get(name).apply(Variant(ONNX, moved / graph.path.name), context(tmp_path / name))
        assert {file: sha256_of(path) for file, path in again.files.items()} == {
            file: sha256_of(path) for file, path in variant.files.items()
        }
        assert b"/" + b"tmp" not in variant.path.read_bytes()


def test_a_value_beyond_its_table_is_refused_not_answered_with_zeros(variants: dict[str, Variant]) -> None:
    run = runtime_for(OPENVINO).open(variants["openvino"], Tiny())
    with pytest.raises(InvalidInput, match=f"'item': {ITEMS} is not within"):
        run({"item": np.array([1, ITEMS], dtype=np.int64)})


def test_bfloat16_says_what_it_needs_where_it_is_not(graph: Variant, tmp_path: Path) -> None:
    if has_any(OpenVinoBf16.instructions):
        variant = OpenVinoBf16().apply(graph, context(tmp_path))
        assert b'value="bf16"' in variant.path.read_bytes()
        return
    with pytest.raises(EcomdeployError, match="neither avx512_bf16 nor amx_bf16"):
        OpenVinoBf16().apply(graph, context(tmp_path))


def test_what_is_no_ir_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net/>")
    with pytest.raises(BadInput, match="OpenVINO cannot load it"):
        runtime_for(OPENVINO).open(Variant(OPENVINO, tmp_path / "model.xml"), Tiny())


SIGNATURE = ModelSignature(
    format=1,
    model="tiny",
    runtime="openvino",
    file="model.xml",
    inputs=(Tensor("item", "INT64", (-1,)),),
    outputs=(Tensor("next", "INT64", (-1,)),),
)


def test_the_server_loads_it_by_the_name_in_serving_json(variants: dict[str, Variant]) -> None:
    folder = variants["openvino"].path.parent
    served = load(SIGNATURE, folder)
    assert set(served.run({"item": np.array([1, 2], dtype=np.int64)})) == {"next"}
    with pytest.raises(Unfit, match=r"takes \['item'\], serving.json says \['other'\]"):
        load(replace_inputs("other"), folder)
    with pytest.raises(Unfit, match="cannot be loaded"):
        load(SIGNATURE, folder / "nowhere")


def replace_inputs(name: str) -> ModelSignature:
    import msgspec

    return msgspec.structs.replace(SIGNATURE, inputs=(Tensor(name, "INT64", (-1,)),))


def test_neither_runtime_needs_the_other(variants: dict[str, Variant], repository: Path) -> None:
    """An image has one of them, and none of what makes or converts models."""
    script = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "for name in ('onnxruntime', 'onnx', 'torch', 'openvino_telemetry', 'openvino.tools'):\n"
        "    sys.modules[name] = None\n"
        "from modelpack.server.engines.openvino import OpenVinoSession\n"
        f"session = OpenVinoSession(Path({str(variants['openvino'].path)!r}), 1)\n"
        "print(session.run({'item': np.array([1])}, ['next'])['next'].shape, session.precision)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout.split("\n")[0] == "(1,) f32"


def test_a_search_is_offered_it(tmp_path: Path) -> None:
    names = applicable(("onnx",), served_formats(), tmp_path)
    assert {"openvino", "openvino-bf16", "openvino-int8"} <= set(names)


FORCED = """
from modelpack.passes.openvino import OpenVinoInt8

class Forced(OpenVinoInt8):
    name, required = "forced", True
"""
"""A model this small is quicker in ONNX Runtime, so the gate would drop it."""


@pytest.mark.slow
@pytest.mark.network
def test_an_image_of_it_answers_by_its_own_layers(repository: Path, home: Home, tmp_path: Path) -> None:
    """Only OpenVINO's CPU plug-in and reader are in it: neither ONNX Runtime nor telemetry."""
    shutil.copy(repository / "tests" / "support" / "tiny_usecase.py", tmp_path / "own.py")
    (tmp_path / "forced.py").write_text(FORCED)
    wanted = PackSpec(passes=("onnx", "./forced.py:Forced"))
    request = PackRequest("./own.py:Tiny", ModelSpec(), wanted, "ml.c7i.xlarge", tmp_path)
    pack = build(request, home, Silent())
    assert (pack.record["runtime"], pack.record["format"]) == ("openvino", "openvino")
    layout = Layout(home.images)
    assert "answered right by the image's own layers" in golden_answers(layout, pack.digest, Silent())
    root = unpack(layout, pack.digest, tmp_path / "image") / "opt/ecomdeploy/deps"
    assert not list(root.glob("onnxruntime*")) + list(root.glob("openvino_telemetry*"))
    libraries = {path.name.split(".so")[0] for path in (root / "openvino/libs").iterdir()}
    assert {"libopenvino_intel_cpu_plugin", "libopenvino_ir_frontend", "libtbb"} <= libraries
    assert not [name for name in libraries if "gpu" in name or "npu" in name or "onnx" in name]
    assert find_known(request, home) == pack
