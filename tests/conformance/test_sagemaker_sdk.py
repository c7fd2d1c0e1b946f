"""The real SageMaker Python SDK, version 3, as a client of the local cloud.

Of its packages `sagemaker-core` is the client of the API; the others train and build, which nothing here asks for. It
runs in an environment of its own (`make test-sagemaker`), for its pins are not ours. Nothing of
ours is imported here; the command line is typed with the interpreter that `ECOMDEPLOY_TEST_PYTHON` names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typed import ROOT, Terminal

resources = pytest.importorskip(
    "sagemaker.core.resources", reason="the SageMaker SDK is not installed here: make test-sagemaker"
)

pytestmark = [pytest.mark.slow, pytest.mark.network]
SECONDS = {"poll": 1, "timeout": 300}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Terminal, dict[str, Any]]]:
    """A release that is live, by the command line, and its `up --json`. Without passes: the gate is not judged here."""
    root = tmp_path_factory.mktemp("sdk")
    python = os.environ.get("ECOMDEPLOY_TEST_PYTHON") or str(ROOT / ".venv" / "bin" / "python")
    assert Path(python).exists(), f"no {python}: make install"
    place = Terminal(root, root / "home", python)
    place.type("init", "recommendation", "shop")
    shop = place.into("shop")
    shop.edit(r"epochs: \d+", "epochs: 1, architecture: one-stage")
    shop.edit(r"^pack:.*$", "pack:\n  passes: []")
    try:
        yield shop, shop.type("up", "--yes", "--json").json
    finally:
        shop.end()


@pytest.fixture(autouse=True)
def connected(
    shipped: tuple[Terminal, dict[str, Any]], clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the SDK is told are the variables of `ecomdeploy cloud env`."""
    for name, value in shipped[0].type("cloud", "env", "--json").json.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def shop(shipped: tuple[Terminal, dict[str, Any]]) -> Terminal:
    return shipped[0]


@pytest.fixture
def release(shipped: tuple[Terminal, dict[str, Any]]) -> dict[str, Any]:
    return shipped[1]


def test_it_sees_what_up_made(release: dict[str, Any]) -> None:
    assert [one.endpoint_name for one in resources.Endpoint.get_all()] == [release["endpoint"]]
    endpoint = resources.Endpoint.get(endpoint_name=release["endpoint"])
    endpoint.wait_for_status("InService", **SECONDS)
    [variant] = endpoint.production_variants
    [image] = variant.deployed_images
    assert image.resolved_image == release["image"]
    [listed] = resources.EndpointConfig.get_all()
    configuration = listed.refresh()
    assert configuration.endpoint_config_name == endpoint.endpoint_config_name
    [declared] = configuration.production_variants
    assert declared.instance_type == "ml.c7i.xlarge"
    assert [one.model_name for one in resources.Model.get_all()] == [declared.model_name]
    model = resources.Model.get(model_name=declared.model_name)
    assert model.primary_container.image == release["image"]
    assert re.fullmatch(r"arn:aws:iam::\d{12}:role/[\w-]+", model.execution_role_arn)


def test_it_invokes_and_gets_what_predict_says(shop: Terminal, release: dict[str, Any]) -> None:
    predicted = shop.type("predict", "--json").json
    answer = invoke(resources.Endpoint.get(endpoint_name=release["endpoint"]), predicted)
    assert json.loads(answer.body.read())["predictions"] == predicted["predictions"]
    assert answer.content_type == "application/json"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", answer.custom_attributes), "the content digest"


def test_its_serializers_and_deserializers_agree(shop: Terminal, release: dict[str, Any]) -> None:
    """CSV, JSON Lines and npy as the SDK writes and reads them say what JSON says."""
    import numpy as np
    from sagemaker.core import deserializers, serializers

    predicted = shop.type("predict", "--json").json
    instances = predicted["request"]["instances"]
    longest = max(len(one["history"]) for one in instances)
    rows = [[one["household"], *one["history"], *[0] * (longest - len(one["history"]))] for one in instances]
    endpoint = resources.Endpoint.get(endpoint_name=release["endpoint"])

    def asked(writer: Any, data: Any, reader: Any) -> Any:
        body = writer.serialize(data)
        answer = endpoint.invoke(body=body, content_type=writer.CONTENT_TYPE, accept=", ".join(reader.ACCEPT))
        return reader.deserialize(answer.body, answer.content_type)

    wanted = predicted["predictions"]
    flat = [[value for part in one.values() for value in part] for one in wanted]
    lines = asked(serializers.JSONLinesSerializer(), instances, deserializers.JSONLinesDeserializer())
    assert lines == wanted
    cells = asked(serializers.CSVSerializer(), rows, deserializers.CSVDeserializer())
    np.testing.assert_allclose([[float(cell) for cell in row] for row in cells], flat, rtol=1e-5)
    table = asked(serializers.NumpySerializer(), np.array(rows), deserializers.NumpyDeserializer())
    np.testing.assert_allclose(table, flat, rtol=1e-5)


def test_a_refusal_arrives_as_the_sdk_expects_it(release: dict[str, Any]) -> None:
    from botocore.exceptions import ClientError

    endpoint = resources.Endpoint.get(endpoint_name=release["endpoint"])
    with pytest.raises(ClientError) as refused:
        endpoint.invoke(body=b'{"instances": 3}', content_type="application/json")
    assert refused.value.response["Error"]["Code"] == "ModelError"
    assert refused.value.response["OriginalStatusCode"] == 400
    with pytest.raises(ClientError, match="Could not find endpoint") as missing:
        resources.Endpoint.get(endpoint_name="nowhere")
    assert missing.value.response["Error"]["Code"] == "ValidationException"
    absent = release["image"].partition("@")[0] + "@sha256:" + "0" * 64
    with pytest.raises(ClientError, match="Requested image") as unknown:
        made_model(absent)
    assert unknown.value.response["Error"]["Code"] == "ValidationException"


def test_it_deploys_moves_and_removes_an_endpoint_of_its_own(shop: Terminal, release: dict[str, Any]) -> None:
    """The same image, by the SDK's own calls: create, wait, invoke, update, delete, wait. Ours is not touched."""
    predicted = shop.type("predict", "--json").json
    ours = resources.Endpoint.get(endpoint_name=release["endpoint"])
    model = made_model(release["image"])
    small, large = (made_configuration(model, name, count) for name, count in (("small", 1), ("large", 2)))
    endpoint = resources.Endpoint.create(
        endpoint_name="by-sdk", endpoint_config_name=small.endpoint_config_name
    )
    endpoint.wait_for_status("InService", **SECONDS)
    answer = invoke(endpoint, predicted)
    assert json.loads(answer.body.read())["predictions"] == predicted["predictions"]
    endpoint.endpoint_config_name = large.endpoint_config_name
    endpoint.update()
    endpoint.wait_for_status("InService", **SECONDS)
    assert endpoint.endpoint_config_name == large.endpoint_config_name
    assert endpoint.production_variants[0].current_instance_count == 2
    assert json.loads(invoke(endpoint, predicted).body.read())["predictions"] == predicted["predictions"]
    endpoint.delete()
    endpoint.wait_for_delete(**SECONDS)
    for made in (small, large, model):
        made.delete()
    assert [one.endpoint_name for one in resources.Endpoint.get_all()] == [release["endpoint"]]
    assert [one.model_name for one in resources.Model.get_all() if one.model_name == "by-sdk"] == []
    assert ours.refresh().endpoint_status == "InService"
    assert shop.type("status", "--json").json["verified"] is True


def test_a_model_that_ends_at_start_fails_as_the_sdk_expects_it(
    shop: Terminal, release: dict[str, Any]
) -> None:
    """`wait_for_status` ends with the cloud's reason and not with a time-out."""
    from sagemaker.core.utils.exceptions import FailedStatusError

    model = made_model(release["image"], "crashing")
    configuration = made_configuration(model, "crashing", 1)
    shop.type("cloud", "fault", "crash", "--endpoint", "crashing")
    endpoint = resources.Endpoint.create(
        endpoint_name="crashing", endpoint_config_name=configuration.endpoint_config_name
    )
    with pytest.raises(FailedStatusError, match="ping"):
        endpoint.wait_for_status("InService", **SECONDS)
    endpoint.delete()
    endpoint.wait_for_delete(**SECONDS)
    configuration.delete()
    model.delete()


@pytest.mark.parametrize(
    ("framework", "options", "repository"),
    [
        ("pytorch", {"version": "2.6", "py_version": "py312"}, r"pytorch-inference:2\.6-gpu-py312"),
        ("huggingface-llm", {}, r"huggingface-pytorch-tgi-inference:.+-gpu-.+"),
        ("djl-lmi", {}, r"djl-inference:.+-cu\d+"),
    ],
)
def test_it_names_gpu_bases_without_a_network(
    framework: str, options: dict[str, str], repository: str
) -> None:
    """References by tag in AWS's own registries: what a GPU pack's base is resolved from, to a digest."""
    from sagemaker.core import image_uris

    named = image_uris.retrieve(
        framework=framework,
        region="us-east-1",
        instance_type="ml.g5.xlarge",
        image_scope="inference",
        **options,
    )
    assert re.fullmatch(r"\d{12}\.dkr\.ecr\.us-east-1\.amazonaws\.com/" + repository, named)


def invoke(endpoint: Any, predicted: dict[str, Any]) -> Any:
    body = json.dumps(predicted["request"]).encode()
    return endpoint.invoke(body=body, content_type=predicted["content_type"], accept="application/json")


def made_model(image: str, name: str = "by-sdk") -> Any:
    from sagemaker.core.shapes import ContainerDefinition

    [serving] = [one for one in resources.Model.get_all() if one.model_name.startswith("shop-")]
    return resources.Model.create(
        model_name=name,
        primary_container=ContainerDefinition(image=image),
        execution_role_arn=serving.refresh().execution_role_arn,
    )


def made_configuration(model: Any, name: str, count: int) -> Any:
    from sagemaker.core.shapes import ProductionVariant

    variant = ProductionVariant(
        variant_name="AllTraffic",
        model_name=model.model_name,
        instance_type="ml.c7i.xlarge",
        initial_instance_count=count,
        initial_variant_weight=1.0,
    )
    return resources.EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
