"""The CustomResourceDefinition of InferenceService, made from what the running API server says a pod is.

The API server's OpenAPI v3 becomes a structural schema: references written out, descriptions, enumerations and
Kubernetes' own merge hints left out. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.rehearsal.cloud.kubernetes.kserve import fields
from infra.rehearsal.cloud.kubernetes.kserve.words import CRD, GROUP, KIND, PLURAL, Object

QUANTITY_NAME = "io.k8s.apimachinery.pkg.api.resource.Quantity"
KEPT = ("type", "format", "required", "x-kubernetes-map-type")
LISTS_WITH_KEYS = ("resourceClaims", "schedulingGates", "topologySpreadConstraints")
"""Of a pod's own lists only these have keys in KServe's schema; the others are atomic (recorded: `containers`)."""
NOT_KNOWN = ("ephemeralContainers", "evictionResponders", "schedulingGroup")
"""Fields of a 1.37 pod that KServe 0.20's schema does not have."""


@dataclass(frozen=True)
class OpenApi:
    """The schemas of `components.schemas` of one or more OpenAPI v3 documents, by name."""

    schemas: dict[str, Object]

    def structural(self, name: str) -> Object:
        """That type as a structural schema."""
        if name == QUANTITY_NAME:
            return dict(fields.QUANTITY)
        return self._write_out(self.schemas[name])

    def _write_out(self, schema: Object) -> Object:
        for reference in (schema, *schema.get("allOf", ())):
            if "$ref" in reference:
                return self.structural(reference["$ref"].rsplit("/", 1)[1])
        if schema.get("format") == "int-or-string":
            return dict(fields.INT_OR_TEXT)
        kept: Object = {key: schema[key] for key in KEPT if key in schema}
        if schema.get("default"):
            kept["default"] = schema["default"]
        if "properties" in schema:
            kept["properties"] = {name: self._write_out(one) for name, one in schema["properties"].items()}
        if "additionalProperties" in schema:
            kept["additionalProperties"] = self._write_out(schema["additionalProperties"])
        if "items" in schema:
            kept["items"] = self._write_out(schema["items"])
            kept |= _list_kind(schema, kept["items"])
        if "type" not in kept:
            kept |= {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return kept


def _list_kind(schema: Object, item: Object) -> Object:
    """The list's merge kind, where the keys can be relied on (required, or with a default)."""
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys", [])
    sure = all(key in item.get("required", ()) or "default" in item["properties"][key] for key in keys)
    if kind == "map" and sure:
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}
    return {"x-kubernetes-list-type": kind} if kind in ("atomic", "set") else {}


def pod_fields(api: OpenApi) -> Object:
    """A pod's fields as KServe's components have them."""
    pod: Object = api.structural("io.k8s.api.core.v1.PodSpec")["properties"]
    for name, schema in pod.items():
        if name not in LISTS_WITH_KEYS:
            for hint in ("x-kubernetes-list-type", "x-kubernetes-list-map-keys"):
                schema.pop(hint, None)
    return {name: schema for name, schema in pod.items() if name not in NOT_KNOWN}


def inference_service_schema(api: OpenApi) -> Object:
    """The whole object."""
    common = pod_fields(api) | fields.extension_fields(
        api.structural("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior"),
        api.structural("io.k8s.api.apps.v1.DeploymentStrategy"),
    )
    predictor = fields.record(common | fields.predictor_fields())
    percent = fields.INT32 | {"minimum": 0, "maximum": 100}
    canary = fields.record({"trafficPercent": percent, "predictor": predictor}, "predictor", "trafficPercent")
    spec = fields.record(
        {
            "predictor": predictor,
            "transformer": fields.record(common),
            "explainer": fields.record(common | {"art": fields.OPEN}),
            "canary": fields.list_of(canary) | {"x-kubernetes-list-type": "atomic"},
        },
        "predictor",
    )
    return fields.record(
        {
            "apiVersion": fields.TEXT,
            "kind": fields.TEXT,
            "metadata": {"type": "object"},
            "spec": spec,
            "status": fields.status_schema(),
        }
    )


def custom_resource_definition(api: OpenApi) -> Object:
    """The object to apply."""
    traffic = ".status.components.predictor.traffic"
    columns: list[Any] = [
        ("URL", "string", ".status.url"),
        ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
        ("Prev", "integer", f"{traffic}[?(@.tag=='prev')].percent"),
        ("Latest", "integer", f"{traffic}[?(@.latestRevision==true)].percent"),
        ("PrevRolledoutRevision", "string", f"{traffic}[?(@.tag=='prev')].revisionName"),
        ("LatestReadyRevision", "string", f"{traffic}[?(@.latestRevision==true)].revisionName"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ]
    version = {
        "name": "v1beta1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path} for name, kind, path in columns
        ],
        "schema": {"openAPIV3Schema": inference_service_schema(api)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["isvc"],
            },
            "versions": [version],
        },
    }
