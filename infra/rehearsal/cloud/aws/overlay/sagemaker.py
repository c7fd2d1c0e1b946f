"""SageMaker hosting: models, endpoint configurations and endpoints whose servers really run; training jobs that really
train (training/). The rest is moto's.

Of the wording of refusals some is recorded from public reports (sagemaker-python-sdk #101, spot-tagging-bot #2,
terraform-provider-aws #40048, SageMaker examples #2491); the rest follows their form and was not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.aws.hosting import (
    READY_SECONDS,
    Endpoint,
    Fleet,
    Hosting,
    PendingDeployment,
    ProductionVariant,
)
from infra.rehearsal.cloud.aws.hosting_shapes import (
    arn_of,
    describe,
    invalid,
    list_configured,
    list_rows,
    pairs,
    resolve_image,
    row,
    show,
    tag_list,
)
from infra.rehearsal.cloud.aws.listing import list_page
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, HttpResponse, emulates, now
from infra.rehearsal.cloud.aws.sagemaker_runtime.captures import Captures
from infra.rehearsal.cloud.aws.training.operations import TrainingOperations
from infra.rehearsal.cloud.aws.updates.moves import Moves

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings
    from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import WeightedServer

NOT_HERE = ("AsyncInferenceConfig", "ExplainerConfig")


class SageMakerOverlay(TrainingOperations):
    """State survives in `account.state["sagemaker"]`; servers are started again from it."""

    def __init__(self, account: Surroundings) -> None:
        super().__init__(account)
        self.hosting: Hosting = account.state.setdefault("sagemaker", Hosting())
        self.fleet = Fleet(account, self.hosting)
        self.moves = Moves(account, self.fleet)
        account.invocations.capture = Captures(account, self._capture_config).add

    def restore(self) -> None:
        self.moves.restore()
        super().restore()

    def close(self) -> None:
        self.fleet.stop()
        super().close()

    # ---- models ----

    @emulates("CreateModel", "documented", "API_CreateModel")
    def create_model(self, call: ApiCall) -> Mapping[str, Any]:
        """One container by image; the image must be in ECR. Model data from S3 and several containers are refused."""
        asked = call.parameters
        containers = [*filter(None, [asked.get("PrimaryContainer")]), *asked.get("Containers", ())]
        if len(containers) != 1:
            raise invalid("the local cloud runs models of exactly one container")
        if containers[0].get("ModelDataUrl") or containers[0].get("ModelDataSource"):
            raise invalid("the local cloud runs models whose files are in the image, not ModelDataUrl")
        resolve_image(self.account, containers[0].get("Image", ""))
        return {"ModelArn": self._create(call, "model", asked["ModelName"], self.hosting.models)}

    @emulates("DescribeModel", "documented", "API_DescribeModel")
    def describe_model(self, call: ApiCall) -> Mapping[str, Any]:
        """As created."""
        return self._find(call, "model", call.parameters["ModelName"], self.hosting.models)

    @emulates("ListModels", "documented", "API_ListModels")
    def list_models(self, call: ApiCall) -> Mapping[str, Any]:
        """Filtered by name and time, sorted, in pages."""
        return list_page(call, "Models", list_rows(call, self.hosting.models, ("ModelName", "ModelArn")))

    @emulates("DeleteModel", "documented", "API_DeleteModel")
    def delete_model(self, call: ApiCall) -> Mapping[str, Any]:
        """Also while endpoints run it: they go on, but cannot be updated to it."""
        return self._delete(call, "model", call.parameters["ModelName"], self.hosting.models)

    # ---- configurations ----

    @emulates("CreateEndpointConfig", "recorded", "API_CreateEndpointConfig")
    def create_endpoint_config(self, call: ApiCall) -> Mapping[str, Any]:
        """Variants on instances, of models that exist, one of them a shadow; instance types are botocore's list."""
        asked, variants = call.parameters, list_configured(call.parameters)
        if here := [name for name in NOT_HERE if asked.get(name)]:
            raise invalid(f"the local cloud does not have {', '.join(here)}")
        for variant in variants:
            if not variant.get("ModelName") or not variant.get("InstanceType"):
                raise invalid("the local cloud needs ModelName and InstanceType in every production variant")
            self._find(call, "model", variant["ModelName"], self.hosting.models)
        if len({variant["VariantName"] for variant in variants}) < len(variants):
            raise invalid("Duplicate variant names are not allowed")
        name = asked["EndpointConfigName"]
        return {
            "EndpointConfigArn": self._create(
                call, "endpoint configuration", name, self.hosting.configurations
            )
        }

    @emulates("DescribeEndpointConfig", "documented", "API_DescribeEndpointConfig")
    def describe_endpoint_config(self, call: ApiCall) -> Mapping[str, Any]:
        """As created."""
        name = call.parameters["EndpointConfigName"]
        return self._find(call, "endpoint configuration", name, self.hosting.configurations)

    @emulates("ListEndpointConfigs", "documented", "API_ListEndpointConfigs")
    def list_endpoint_configs(self, call: ApiCall) -> Mapping[str, Any]:
        """Filtered by name and time, sorted, in pages."""
        names = ("EndpointConfigName", "EndpointConfigArn")
        return list_page(call, "EndpointConfigs", list_rows(call, self.hosting.configurations, names))

    @emulates("DeleteEndpointConfig", "recorded", "API_DeleteEndpointConfig")
    def delete_endpoint_config(self, call: ApiCall) -> Mapping[str, Any]:
        """AWS allows it while in use, and then refuses to update that endpoint (terraform-provider-aws #40048)."""
        name = call.parameters["EndpointConfigName"]
        return self._delete(call, "endpoint configuration", name, self.hosting.configurations)

    # ---- endpoints ----

    @emulates("CreateEndpoint", "recorded", "API_CreateEndpoint")
    def create_endpoint(self, call: ApiCall) -> Mapping[str, Any]:
        """Creating until every variant's server passes /ping, then InService; else Failed with a FailureReason."""
        asked = call.parameters
        name, region = asked["EndpointName"], call.region
        where = arn_of(region, "endpoint", name)
        if (region, name) in self.hosting.endpoints:
            raise invalid(f'Cannot create already existing endpoint "{where}".')
        pending = self._plan_deployment(call, {})
        endpoint = Endpoint(
            name=name,
            region=region,
            configuration=asked["EndpointConfigName"],
            status="Creating",
            created=now(),
            modified=now(),
            pending=pending,
        )
        self.hosting.endpoints[endpoint.key] = endpoint
        self.hosting.tags[where] = pairs(asked.get("Tags", ()))
        self.moves.begin(endpoint)
        return {"EndpointArn": where}

    @emulates("UpdateEndpoint", "documented", "API_UpdateEndpoint")
    def update_endpoint(self, call: ApiCall) -> Mapping[str, Any]:
        """New servers take over as DeploymentConfig says; a failure or an alarm ends InService on the old ones."""
        asked = call.parameters
        endpoint = self._endpoint(call)
        where = arn_of(call.region, "endpoint", endpoint.name)
        if endpoint.status == "Failed":
            raise invalid(f'Cannot update endpoint "{where}" in status Failed; it can only be deleted.')
        if endpoint.status not in ("InService", "UpdateRollbackFailed"):
            raise invalid(f'Cannot update in-progress endpoint "{where}".')
        self._find(call, "endpoint configuration", endpoint.configuration, self.hosting.configurations)
        kept = {variant.name: variant for variant in endpoint.variants}
        pending = self._plan_deployment(call, kept if asked.get("RetainAllVariantProperties") else {})
        if asked.get("RetainDeploymentConfig"):
            pending = replace(pending, deployment=pending.deployment or endpoint.deployment)
        if endpoint.status == "UpdateRollbackFailed":
            self.fleet.adopt_mix(endpoint)
        endpoint.pending = pending
        endpoint.status, endpoint.modified = "Updating", now()
        self.moves.begin(endpoint)
        return {"EndpointArn": where}

    @emulates("UpdateEndpointWeightsAndCapacities", "documented", "API_UpdateEndpointWeightsAndCapacities")
    def update_endpoint_weights_and_capacities(self, call: ApiCall) -> Mapping[str, Any]:
        """At once: AWS is Updating for a while. Instances of a variant are one process here, whatever their number."""
        endpoint = self._endpoint(call)
        if endpoint.status != "InService":
            where = arn_of(call.region, "endpoint", endpoint.name)
            raise invalid(f'Cannot update in-progress endpoint "{where}".')
        wanted = {item["VariantName"]: item for item in call.parameters["DesiredWeightsAndCapacities"]}
        if unknown := set(wanted) - {variant.name for variant in endpoint.variants}:
            raise invalid(f"Variant {', '.join(sorted(unknown))} not found for endpoint {endpoint.name}.")
        endpoint.variants = tuple(
            replace(
                variant,
                weight=float(wanted.get(variant.name, {}).get("DesiredWeight", variant.weight)),
                count=int(wanted.get(variant.name, {}).get("DesiredInstanceCount", variant.count)),
            )
            for variant in endpoint.variants
        )
        endpoint.modified = now()
        self.fleet.reweigh(endpoint)
        return {"EndpointArn": arn_of(call.region, "endpoint", endpoint.name)}

    @emulates("DescribeEndpoint", "documented", "API_DescribeEndpoint")
    def describe_endpoint(self, call: ApiCall) -> Mapping[str, Any]:
        """With the images that serve by digest, and the configuration an update is on its way to."""
        return describe(self._endpoint(call))

    @emulates("ListEndpoints", "documented", "API_ListEndpoints")
    def list_endpoints(self, call: ApiCall) -> Mapping[str, Any]:
        """Filtered by name, status and time, sorted, in pages."""
        here = (endpoint for endpoint in self.hosting.endpoints.values() if endpoint.region == call.region)
        return list_page(call, "Endpoints", [row(endpoint) for endpoint in here])

    @emulates("DeleteEndpoint", "documented", "API_DeleteEndpoint")
    def delete_endpoint(self, call: ApiCall) -> Mapping[str, Any]:
        """Deleting until its servers have ended. Not while it changes (reported: SageMaker examples #3432)."""
        endpoint = self._endpoint(call)
        where = arn_of(call.region, "endpoint", endpoint.name)
        if endpoint.status not in ("InService", "Failed", "Deleting", "UpdateRollbackFailed"):
            raise invalid(f'Cannot update in-progress endpoint "{where}".')
        if endpoint.status != "Deleting":
            endpoint.status, endpoint.modified = "Deleting", now()
            self.hosting.tags.pop(where, None)
            self.fleet.end(endpoint)
        return {}

    # ---- tags ----

    @emulates("AddTags", "documented", "API_AddTags")
    def add_tags(self, call: ApiCall) -> Mapping[str, Any] | HttpResponse:
        """On models, configurations and endpoints; on anything else moto's."""
        tags = self.hosting.tags.get(call.parameters["ResourceArn"])
        if tags is None:
            return self.moto(call)
        tags |= pairs(call.parameters["Tags"])
        return {"Tags": tag_list(tags)}

    @emulates("DeleteTags", "documented", "API_DeleteTags")
    def delete_tags(self, call: ApiCall) -> Mapping[str, Any] | HttpResponse:
        """The same."""
        tags = self.hosting.tags.get(call.parameters["ResourceArn"])
        if tags is None:
            return self.moto(call)
        for key in call.parameters["TagKeys"]:
            tags.pop(key, None)
        return {}

    @emulates("ListTags", "documented", "API_ListTags")
    def list_tags(self, call: ApiCall) -> Mapping[str, Any] | HttpResponse:
        """The same."""
        tags = self.hosting.tags.get(call.parameters["ResourceArn"])
        return self.moto(call) if tags is None else {"Tags": tag_list(tags)}

    def status(self) -> dict[str, Any]:
        """Endpoints with their servers, and training jobs."""
        return super().status() | {
            "endpoints": [
                show(endpoint, self.account.invocations.route(key))
                for key, endpoint in self.hosting.endpoints.items()
            ]
        }

    # ---- parts ----

    def _capture_config(self, key: tuple[str, str], way: WeightedServer) -> Mapping[str, Any]:
        endpoint = self.hosting.endpoints.get(key)
        name = way.configuration or (endpoint.configuration if endpoint else "")
        found = self.hosting.configurations.get((key[0], name), {})
        return dict(found.get("DataCaptureConfig") or {})

    def _create(self, call: ApiCall, kind: str, name: str, store: dict[Any, dict[str, Any]]) -> str:
        where = arn_of(call.region, kind, name)
        if (call.region, name) in store:
            raise invalid(f'Cannot create already existing {kind} "{where}".')
        kept = {key: value for key, value in call.parameters.items() if key != "Tags"}
        field = "ModelArn" if kind == "model" else "EndpointConfigArn"
        store[call.region, name] = {**kept, field: where, "CreationTime": now()}
        self.hosting.tags[where] = pairs(call.parameters.get("Tags", ()))
        return where

    def _find(self, call: ApiCall, kind: str, name: str, store: dict[Any, dict[str, Any]]) -> dict[str, Any]:
        if (call.region, name) not in store:
            raise invalid(f'Could not find {kind} "{arn_of(call.region, kind, name)}".')
        return store[call.region, name]

    def _delete(
        self, call: ApiCall, kind: str, name: str, store: dict[Any, dict[str, Any]]
    ) -> Mapping[str, Any]:
        self._find(call, kind, name, store)
        del store[call.region, name]
        self.hosting.tags.pop(arn_of(call.region, kind, name), None)
        return {}

    def _endpoint(self, call: ApiCall) -> Endpoint:
        name = call.parameters["EndpointName"]
        endpoint = self.hosting.endpoints.get((call.region, name))
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{arn_of(call.region, "endpoint", name)}".')
        return endpoint

    def _plan_deployment(self, call: ApiCall, kept: Mapping[str, ProductionVariant]) -> PendingDeployment:
        """The asked configuration with its images resolved; `kept` variants lend their weight and count."""
        name = call.parameters["EndpointConfigName"]
        found = self._find(call, "endpoint configuration", name, self.hosting.configurations)
        excluded = {
            item["VariantPropertyType"]
            for item in call.parameters.get("ExcludeRetainedVariantProperties", ())
        }
        variants, shadows = [], found.get("ShadowProductionVariants", ())
        for asked in list_configured(found):
            variant = replace(self._variant(call, asked), shadow=asked in shadows)
            if old := kept.get(variant.name):
                weight = variant.weight if "DesiredWeight" in excluded else old.weight
                count = variant.count if "DesiredInstanceCount" in excluded else old.count
                variant = replace(variant, weight=weight, count=count)
            variants.append(variant)
        deployment = call.parameters.get("DeploymentConfig")
        return PendingDeployment(
            configuration=name, variants=tuple(variants), started=now(), deployment=deployment
        )

    def _variant(self, call: ApiCall, asked: Mapping[str, Any]) -> ProductionVariant:
        model = self._find(call, "model", asked["ModelName"], self.hosting.models)
        container = model.get("PrimaryContainer") or model["Containers"][0]
        repository, digest = resolve_image(self.account, container["Image"])
        return ProductionVariant(
            name=asked["VariantName"],
            model=asked["ModelName"],
            specified=container["Image"],
            repository=repository,
            digest=digest,
            environment=tuple(sorted(container.get("Environment", {}).items())),
            weight=float(asked.get("InitialVariantWeight", 1.0)),
            count=int(asked.get("InitialInstanceCount", 1)),
            resolved_at=now(),
            placed=tuple(one for named in (model.get("VpcConfig") or {}).values() for one in named),
            ready_seconds=float(asked.get("ContainerStartupHealthCheckTimeoutInSeconds", READY_SECONDS)),
        )
