"""The gRPC side towards the program: ResourceMonitor and Engine.

What a program asks beyond what is implemented is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, resource_pb2, resource_pb2_grpc

from infra.rehearsal.engine import values
from infra.rehearsal.engine.effects import describe
from infra.rehearsal.engine.errors import EngineError, Stopped, Unsupported
from infra.rehearsal.engine.events import Events
from infra.rehearsal.engine.execute import Deployment
from infra.rehearsal.engine.provider import ProviderError
from infra.rehearsal.engine.resource import urn_of
from infra.rehearsal.engine.steps import Goal

STACK_REFERENCE: Final = "pulumi:pulumi:StackReference"
IMPLEMENTED: Final = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
)
REFUSED_HERE: Final = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_STATE_MIGRATIONS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
)
"""Without these the SDK itself would refuse them, and tell people to update a CLI that they do not use."""
THREADS: Final = 96
"""More than the SDK's own 4 x parallel workers: waiting registrations never keep a log message out."""


def refuse_extras(request: Any) -> None:
    """Raise `Unsupported` for the first resource option that the engine does not implement."""
    extras = {
        "the option transforms": request.transforms,
        "the option import": request.importId,
        "the option deleted_with": request.deletedWith,
        "the option replace_with": request.replace_with,
        "the option replacement_trigger": request.HasField("replacement_trigger"),
        "the option replace_on_changes": request.replaceOnChanges,
        "the option custom_timeouts": any(text for _, text in request.customTimeouts.ListFields()),
        "the option hooks": any(len(names) for _, names in request.hooks.ListFields()),
        "the option state_migrations": request.state_migrations,
        "the option env_var_mappings": request.envVarMappings,
        "a remote component": request.remote,
        "a parameterized package": request.packageRef,
        "a dynamic provider": request.type.startswith("pulumi-python:"),
        "a StackReference": request.type == STACK_REFERENCE,
    }
    for what, present in extras.items():
        if present:
            raise Unsupported(f"{what} ({request.type} '{request.name}')")


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Translates requests to `Deployment` and back."""

    def __init__(self, deployment: Deployment, events: Events) -> None:
        self._deployment = deployment
        self._events = events

    def GetDeploymentInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return resource_pb2.DeploymentInfo(
            project=self._deployment.project,
            stack=self._deployment.stack,
            organization="organization",
            dryRun=self._deployment.effects.preview,
            supportedFeatures=(*IMPLEMENTED, *REFUSED_HERE),
        )

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, request.type, request.name):
            refuse_extras(request)
            made = self._deployment.register(self._goal(request))
            outputs = made.outputs if made.custom and not made.is_provider else {}
            return resource_pb2.RegisterResourceResponse(
                urn=made.urn, id=made.id, object=values.to_wire(outputs), result=resource_pb2.SUCCESS
            )

    def _goal(self, request: Any) -> Goal:
        place = self._deployment
        return Goal(
            urn=urn_of(place.stack, place.project, request.parent, request.type, request.name),
            type=request.type,
            custom=request.custom,
            inputs=values.from_wire(request.object),
            parent=request.parent,
            provider=request.provider,
            dependencies=tuple(sorted(request.dependencies)),
            property_dependencies={
                key: tuple(sorted(one.urns))
                for key, one in sorted(request.propertyDependencies.items())
                if one.urns
            },
            protect=request.protect,
            retain_on_delete=request.retainOnDelete,
            delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
            ignore_changes=tuple(request.ignoreChanges),
            additional_secret_outputs=tuple(request.additionalSecretOutputs),
            version=request.version,
            aliases=tuple(request.aliasURNs),
        )

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, "outputs of", request.urn):
            self._deployment.register_outputs(request.urn, values.from_wire(request.outputs))
            return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, "invoke", request.tok):
            args = values.from_wire(request.args)
            try:
                found = self._deployment.invoke(request.tok, args, request.provider, request.version)
            except (ProviderError, EngineError) as error:
                failure = provider_pb2.CheckFailure(reason=self._events.redactor.clean(str(error)))
                return resource_pb2.ResourceInvokeResponse(failures=[failure])
            answer = resource_pb2.ResourceInvokeResponse()
            getattr(answer, "return").CopyFrom(values.to_wire(found))
            return answer

    def Call(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, "call", request.tok):
            raise Unsupported(f"a resource method ({request.tok})")

    def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, request.type, request.name):
            what = "a StackReference" if request.type == STACK_REFERENCE else f"get of {request.type}"
            raise Unsupported(f"{what} ('{request.name}')")

    def RegisterStackTransform(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, "transform", ""):
            raise Unsupported("a transform of the stack")

    def RegisterStackInvokeTransform(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, "transform", ""):
            raise Unsupported("a transform of invokes")

    def RegisterResourceHook(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, "hook", request.name):
            raise Unsupported(f"the option hooks ({request.name})")

    def RegisterErrorHook(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, "hook", request.name):
            raise Unsupported(f"the option hooks ({request.name})")

    def RegisterPackage(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._translate_errors(context, "package", request.name):
            raise Unsupported(f"the parameterized package {request.name}")

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    @contextmanager
    def _translate_errors(self, context: Any, kind: str, name: str) -> Iterator[None]:
        """Errors in the forms the SDK understands: UNAVAILABLE ends the program without a traceback."""
        try:
            yield
        except grpc.RpcError:
            raise
        except Exception as error:
            if isinstance(error, Unsupported):
                self._deployment.effects.fail(str(error))
            elif not isinstance(error, Stopped):
                self._deployment.effects.fail(f"{kind} '{name}': {describe(error)}")
            context.abort(grpc.StatusCode.UNAVAILABLE, "the operation has failed")


class Log(engine_pb2_grpc.EngineServicer):
    """Takes the program's log messages."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._root = ""

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802
        severity = engine_pb2.LogSeverity.Name(request.severity).lower()
        if severity != "debug" and "Resource monitor has terminated" not in request.message:
            self._events.diagnostic(severity, request.message, request.urn)
        return empty_pb2.Empty()

    def GetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    def SetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()


@contextmanager
def serve(deployment: Deployment, events: Events) -> Iterator[str]:
    """Serve one operation's program; yields the address, for both services."""
    pool = ThreadPoolExecutor(THREADS)
    server = grpc.server(pool, options=_GRPC_CHANNEL_OPTIONS)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(Monitor(deployment, events), server)
    engine_pb2_grpc.add_EngineServicer_to_server(Log(events), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
        pool.shutdown()
