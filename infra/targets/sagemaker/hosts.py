"""SageMaker's hosting instances (`ml.*`) and inference AMIs, from `infra/instances.json` and `infra/gpu_hosts.json`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from infra.hosts import HostImage, Hosts
from infra.instances import table, unsupported_families


@cache
def hosts() -> Hosts:
    """What an endpoint can run on."""
    document = json.loads(files("infra").joinpath("gpu_hosts.json").read_text("utf-8"))["sagemaker"]
    return Hosts(
        instances=table("endpoint"),
        with_gpu="ml.g6.xlarge",
        unsupported=unsupported_families(),
        unscalable={"ml.t2": "it is burstable, and SageMaker scales no burstable instance"},
        # https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html
        scaling_pins_instance=True,
        images={name: HostImage(name=name, **facts) for name, facts in document["amis"].items()},
        default_drivers=document["default_driver"],
    )
