"""The product's story, step by step, with a client that polls every 50 ms from the first release to the last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from counted import takes_no_more
from typed import Poller, Terminal, asking

pytestmark = [pytest.mark.slow, pytest.mark.network]


def test_releases_come_and_go_without_a_failed_request(shop: Terminal) -> None:
    first = first_release(shop)
    predicted = shop.type("predict", "--json").json
    ask = asking(shop, predicted)
    before = ask()
    assert before == predicted["predictions"]
    scored_as_the_endpoint_answers(shop, predicted)
    files = [shop.folder / name for name in ("ecomdeploy.yaml", "pack.lock")]
    committed = {file: file.read_bytes() for file in files}
    with Poller(ask) as poller:
        nothing_changes(shop, first)
        second = second_release(shop, first)
        for file, content in committed.items():
            file.write_bytes(content)
        third_is_refused(shop, second)
        back_to_the_first(shop, first)
        assert ask() == before
    assert poller.requests > 50
    assert poller.errors == []
    agrees_with_the_ledger(shop, first)
    taken_down(shop)


def first_release(shop: Terminal) -> dict:  # type: ignore[type-arg]
    done = shop.type("up", "--yes", "--json").json
    assert (done["state"], done["verified"], done["release"]) == ("live", True, 1)
    assert "@sha256:" in done["image"]
    assert done["record"]["metric"]["low"] > done["record"]["metric"]["baseline"]
    return done


def scored_as_the_endpoint_answers(shop: Terminal, predicted: dict) -> None:  # type: ignore[type-arg]
    """A table of the same rows, by the same pack; the second time there is nothing to do."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"order": number, **row} for number, row in enumerate(predicted["request"]["instances"] * 50)]
    pq.write_table(pa.Table.from_pylist(rows), shop.folder / "orders.parquet")
    done = shop.type("score", "orders.parquet", "scores", "--workers", "1", "--json").json
    assert (done["release"], done["rows"], done["scored"]) == (1, len(rows), len(rows))
    assert done["checked"] > 0
    found = pq.read_table(shop.folder / "scores").to_pylist()
    wanted = [{"order": number, **row} for number, row in enumerate(predicted["predictions"] * 50)]
    assert found == wanted
    again = shop.type("score", "orders.parquet", "scores", "--json").json
    assert (again["rows"], again["scored"]) == (len(rows), 0)


def nothing_changes(shop: Terminal, first: dict) -> None:  # type: ignore[type-arg]
    """No mutating call, no training."""
    before = shop.counts()["mutating"]
    done = shop.type("up", "--yes", "--json")
    assert shop.counts()["mutating"] == before
    assert done.json["outcome"] == "nothing to do"
    assert done.json["image"] == first["image"]
    assert "raining" not in done.err
    assert "rollback" not in shop.type("up", "--yes").out, "there is no release before"


def second_release(shop: Terminal, first: dict) -> dict:  # type: ignore[type-arg]
    """A longer training is planned without being done; what goes live is a model that was trained elsewhere."""
    shop.edit(r"epochs: \d+", "epochs: 2")
    planned = shop.type("plan", "--json")
    assert "raining" not in planned.err
    assert planned.json["push_bytes"] is None
    write_another_model(shop)
    shop.edit(r"^  train: .*", "  path: another.safetensors")
    planned = shop.type("plan", "--json")
    assert planned.json["push_bytes"] is None
    kinds = {change["urn"].split("::")[2].rpartition("$")[2] for change in planned.json["changes"]}
    assert {"aws:sagemaker/model:Model", "aws:sagemaker/endpointConfiguration:EndpointConfiguration"} <= kinds
    assert "aws:sagemaker/endpoint:Endpoint" not in kinds
    done = shop.type("up", "--yes", "--json").json
    assert (done["release"], done["state"], done["verified"]) == (2, "live", True)
    assert done["image"] != first["image"]
    assert 0 < done["pushed_bytes"] < 0.5 * first["pushed_bytes"]
    return done


def write_another_model(shop: Terminal) -> None:
    """The trained model with every weight a thousandth smaller."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from modelpack.home import Home
    from modelpack.inputs.resolve import PackRequest, resolve
    from modelpack.inputs.spec import ModelSpec, PackSpec, TrainSpec

    model = ModelSpec(train=TrainSpec(epochs=1, architecture="one-stage"))
    inputs = resolve(PackRequest("recommendation", model, PackSpec(), "ml.c7i.xlarge", shop.folder))
    trained = Home(shop.home, Path(shop.environment["ECOMDEPLOY_CACHE"])).models
    with safe_open(trained / f"{inputs.training_digest.removeprefix('sha256:')}.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    smaller = {name: one * 0.999 if one.is_floating_point() else one for name, one in weights.items()}
    save_file(smaller, shop.folder / "another.safetensors", metadata)


def third_is_refused(shop: Terminal, second: dict) -> None:  # type: ignore[type-arg]
    """The files of the first release, as from git, on other machines: not the image that serves, and already packed."""
    shop.edit(r"instance: ml.c7i.xlarge", "instance: ml.c7i.2xlarge")
    shop.type("cloud", "fault", "wrong-answers")
    failed = shop.type("up", "--yes", "--json", expect=4)
    assert "golden" in failed.json["error"]["what"]
    assert "raining" not in failed.err
    releases = shop.type("releases", "--json").json
    assert [one["state"] for one in releases] == ["superseded", "live", "failed"]
    assert "golden" in releases[2]["cause"]
    assert releases[2]["image"] != second["image"]
    status = shop.type("status", "--json").json
    assert (status["release"], status["verified"], status["image"]) == (2, True, second["image"])
    again = shop.type("up", "--yes", "--json", expect=2)
    assert "--again" in json.dumps(again.json)


def back_to_the_first(shop: Terminal, first: dict) -> None:  # type: ignore[type-arg]
    """No Pulumi update: of everything that changes the cloud only the route is touched."""
    before = operations(shop)
    done = json.loads(takes_no_more(shop, "rollback 1 --yes --json"))
    made = {
        name: count - before.get(name, 0)
        for name, count in operations(shop).items()
        if count > before.get(name, 0)
    }
    changing = {name for name in made if name.split(":")[1].startswith(("Create", "Delete", "Update"))}
    assert changing == {"sagemaker:UpdateEndpoint"}
    assert (done["restores"], done["image"], done["verified"]) == (1, first["image"], True)


def operations(shop: Terminal) -> dict[str, int]:
    from infra.rehearsal.cloud.client import LocalCloud
    from modelpack.home import Home

    return LocalCloud(Home(shop.home, shop.home / "cache")).operations()


def agrees_with_the_ledger(shop: Terminal, first: dict) -> None:  # type: ignore[type-arg]
    """What a stranger sees with the stock SDK is what the history says."""
    endpoints = shop.client("sagemaker").list_endpoints()["Endpoints"]
    assert [(one["EndpointName"], one["EndpointStatus"]) for one in endpoints] == [
        (first["endpoint"], "InService")
    ]
    described = shop.client("sagemaker").describe_endpoint(EndpointName=first["endpoint"])
    images = [image["ResolvedImage"] for image in described["ProductionVariants"][0]["DeployedImages"]]
    assert images == [first["image"]]
    repository = first["image"].partition("/")[2].partition("@")[0]
    pushed = shop.client("ecr").describe_images(repositoryName=repository)["imageDetails"]
    history = shop.type("releases", "--json").json
    assert {one["image"].partition("@")[2] for one in history} <= {one["imageDigest"] for one in pushed}
    s3 = shop.client("s3")
    bucket = next(one["Name"] for one in s3.list_buckets()["Buckets"])
    keys = {one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="releases/").get("Contents", [])}
    assert {f"releases/shop/{one['number']}.json" for one in history} == keys
    for one in history:
        stored = json.loads(
            s3.get_object(Bucket=bucket, Key=f"releases/shop/{one['number']}.json")["Body"].read()
        )
        assert stored["image"] == one["image"]
        assert stored["timeline"][-1]["state"] == one["state"]


def taken_down(shop: Terminal) -> None:
    done = shop.type("down", "--yes", "--json").json
    assert done["state"] == "removed"
    assert any("cloud stop" in line for line in done["still_running"])
    sagemaker = shop.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_models()["Models"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert servers(shop) == []
    assert shop.type("down", "--yes", "--json").json["changes"] == []
    shop.type("down", "--all", "--yes", "--json")
    assert shop.client("s3").list_buckets()["Buckets"] == []
    assert shop.client("ecr").describe_repositories()["repositories"] == []
    assert shop.client("iam").list_roles()["Roles"] == []
    shop.type("down", "--all", "--yes", "--json")


def servers(shop: Terminal) -> list[str]:
    """Command lines of model servers that run from this home's unpacked images."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        line = " ".join(process.info["cmdline"] or [])
        root = str(process.info["environ"] or "")
        if "modelpack.server" in line and (str(shop.home) in line or str(shop.home) in root):
            found.append(line)
    return found
