"""Whether SageMaker hosting refuses a call, by what stands in the account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.hosting import Hosting, find_places
from infra.rehearsal.cloud.aws.hosting_shapes import list_configured
from infra.rehearsal.cloud.aws.refusals.row import Found

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

LOCAL_STORAGE = (
    "g4dn",
    "g5",
    "g6",
    "g6e",
    "g7",
    "g7e",
    "p6-b200",
    "p6-b300",
    "p3dn",
    "p4d",
    "p4de",
    "p5",
    "p5e",
    "p5en",
    "trn1",
    "trn1n",
    "trn2",
)
"""Families with instance storage whose names do not end in d, n after the digit aside."""


def hosting(account: Surroundings) -> Hosting:
    """What the emulated hosting keeps."""
    found: Hosting = account.state.get("sagemaker") or Hosting()
    return found


def scaled_variants(region: str, name: str) -> Iterator[str]:
    """The variants of the endpoint that are registered with automatic scaling."""
    from moto.applicationautoscaling.models import applicationautoscaling_backends

    targets = applicationautoscaling_backends[ACCOUNT][region].targets
    for resource in targets.get("sagemaker:variant:DesiredInstanceCount", ()):
        kind, of, _, variant = resource.split("/")
        if (kind, of) == ("endpoint", name):
            yield variant


def instance_types(account: Surroundings, region: str, name: str) -> Mapping[str, str]:
    """Instance type by variant, of a configuration; empty where there is none."""
    found = hosting(account).configurations.get((region, name))
    return {one["VariantName"]: one["InstanceType"] for one in list_configured(found)} if found else {}


def scaled_instance_changes(account: Surroundings, call: ApiCall) -> Found:
    name, wanted = call.parameters["EndpointName"], call.parameters["EndpointConfigName"]
    there = hosting(account).endpoints.get((call.region, name))
    old = instance_types(account, call.region, there.configuration) if there else {}
    new = instance_types(account, call.region, wanted)
    for variant in scaled_variants(call.region, name):
        if old.get(variant) and new.get(variant, old[variant]) != old[variant]:
            return {"variant": variant}
    return None


def scaled_variant_goes(account: Surroundings, call: ApiCall) -> Found:
    name, wanted = call.parameters["EndpointName"], call.parameters["EndpointConfigName"]
    new = instance_types(account, call.region, wanted)
    gone = [variant for variant in scaled_variants(call.region, name) if new and variant not in new]
    return {"variant": gone[0]} if gone else None


def has_local_storage(instance: str) -> bool:
    """Whether an instance type has NVMe storage of its own (ml.g5.xlarge, ml.m5d.large)."""
    family = instance.split(".")[1]
    return family in LOCAL_STORAGE or family.rstrip("n").endswith("d")


def encrypted_local_storage(account: Surroundings, call: ApiCall) -> Found:
    variants = list_configured(call.parameters) if call.parameters.get("KmsKeyId") else ()
    local = [
        one["InstanceType"] for one in variants if has_local_storage(one.get("InstanceType", "ml.none."))
    ]
    return {"instance": local[0]} if local else None


def sized_local_storage(account: Surroundings, call: ApiCall) -> Found:
    local = [
        one["InstanceType"]
        for one in list_configured(call.parameters)
        if one.get("VolumeSizeInGB") and has_local_storage(one.get("InstanceType", "ml.none."))
    ]
    return {"instance": local[0]} if local else None


def variants_beside_a_shadow(account: Surroundings, call: ApiCall) -> Found:
    shadows = call.parameters.get("ShadowProductionVariants", ())
    several = len(shadows) > 1 or len(call.parameters["ProductionVariants"]) > 1
    return {} if shadows and several else None


def missing_subnet(account: Surroundings, call: ApiCall) -> Found:
    missing = [name for name in list_placed(call, "Subnets") if name not in find_places(call.region)]
    return {"subnet": missing[0]} if missing else None


def missing_group(account: Surroundings, call: ApiCall) -> Found:
    missing = [name for name in list_placed(call, "SecurityGroupIds") if name not in find_places(call.region)]
    return {"group": missing[0]} if missing else None


def other_networks_subnet(account: Surroundings, call: ApiCall) -> Found:
    named = list_placed(call, "Subnets")
    found = {find_places(call.region)[name] for name in named}
    return {"subnets": ", ".join(named)} if len(found) > 1 else None


def other_networks_group(account: Surroundings, call: ApiCall) -> Found:
    named = list_placed(call, "SecurityGroupIds")
    there = find_places(call.region) if named else {}
    vpcs = {there[name] for name in list_placed(call, "Subnets") if there}
    others = [name for name in named if there[name] not in vpcs]
    return {"group": others[0], "vpc": vpcs.pop()} if others else None


def list_placed(call: ApiCall, key: str) -> tuple[str, ...]:
    return tuple((call.parameters.get("VpcConfig") or {}).get(key, ()))
