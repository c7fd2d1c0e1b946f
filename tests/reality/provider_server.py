"""A provider of ours (engine/provider.py's protocol) as Pulumi's ResourceProvider over gRPC, for the real CLI."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.rehearsal.engine.provider import (
    UNKNOWN,
    KnownResource,
    PartialFailure,
    Provider,
    ProviderError,
    ProviderFactory,
    ResourceIdentity,
    Values,
)
from infra.rehearsal.engine.provider_pool import configuration
from infra.rehearsal.engine.values import REFERENCE, SECRET, SIGNATURE, UNKNOWN_TEXT, fold, to_wire

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PARALLEL = 64


def identify(urn: str) -> tuple[str, ResourceIdentity]:
    """The type and who asks, of `urn:pulumi:<stack>::<project>::<parents' types>$<type>::<name>`."""
    stack, project, types, name = urn.removeprefix("urn:pulumi:").split("::", 3)
    return types.rpartition("$")[2], ResourceIdentity(urn, name, project, stack)


def known(request: Any, inputs: Any, outputs: Any) -> KnownResource:
    """What the engine tells of a resource that it has."""
    return KnownResource(identify(request.urn)[0], request.id, plain(inputs), plain(outputs))


def plain(struct: struct_pb2.Struct) -> Values:
    """Properties without marks. The CLI takes secrets off; states of earlier engines may still have some."""
    found: Values = bare(json_format.MessageToDict(struct))
    return found


def bare(value: Any) -> Any:
    """Assets and archives, which our engine refuses, stay the maps that the CLI sends."""
    if isinstance(value, list):
        return [bare(item) for item in value]
    if isinstance(value, float):
        return fold(value)
    if not isinstance(value, dict):
        return UNKNOWN if value == UNKNOWN_TEXT else value
    signature = value.get(SIGNATURE)
    if signature == SECRET:
        return bare(value["value"])
    if signature == REFERENCE:
        return bare(value.get("id", value["urn"]))
    return {name: bare(item) for name, item in value.items()}


class ProviderServicer(provider_pb2_grpc.ResourceProviderServicer):
    """One provider resource: `factory` makes its provider when it is configured, in the plugin's environment."""

    def __init__(
        self, package: str, version: str, factory: ProviderFactory, environment: Mapping[str, str]
    ) -> None:
        self.package, self.version = package, version
        self.factory, self.environment = factory, environment
        self.provider: Provider | None = None

    @property
    def configured(self) -> Provider:
        assert self.provider is not None, "the engine configures a provider before anything else"
        return self.provider

    # the plugin

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        schema = {"name": self.package, "version": self.version}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def GetMapping(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetMappingResponse()

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Another region needs another provider: what this one made lives there. All else is an update."""
        olds = plain(request.old_inputs if len(request.old_inputs.fields) else request.olds)
        return diff_response(changed_keys(olds, plain(request.news), but="version"), replacing=("region",))

    def Configure(self, request: Any, context: Any) -> Any:
        inputs = configuration(plain(request.args))
        with_refusals(context, lambda: self.configure(inputs))
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def configure(self, inputs: Values) -> None:
        provider = self.factory(self.package, inputs, self.environment)
        provider.configure(inputs)
        self.provider = provider

    # resources

    def Check(self, request: Any, context: Any) -> Any:
        kind, who = identify(request.urn)
        olds = plain(request.olds) or None
        news = plain(request.news)
        done = with_refusals(
            context, lambda: self.configured.check(kind, who, olds, news, fresh_name=olds is None)
        )
        failures = [
            provider_pb2.CheckFailure(property=one.property, reason=one.reason) for one in done.failures
        ]
        return provider_pb2.CheckResponse(inputs=to_wire(done.inputs), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        old = known(request, request.old_inputs, request.olds)
        done = with_refusals(context, lambda: self.configured.diff(old, plain(request.news)))
        return diff_response(done.changed, done.replaces, done.delete_before_replace)

    def Create(self, request: Any, context: Any) -> Any:
        kind, who = identify(request.urn)
        news = plain(request.properties)
        done = with_refusals(
            context,
            lambda: self.configured.create(kind, who, news, preview=request.preview),
            inputs=request.properties,
        )
        return provider_pb2.CreateResponse(id=done.id, properties=to_wire(done.outputs))

    def Read(self, request: Any, context: Any) -> Any:
        last = known(request, request.inputs, request.properties)
        found = with_refusals(context, lambda: self.configured.read(last))
        if found is None:
            return provider_pb2.ReadResponse(id="")
        return provider_pb2.ReadResponse(
            id=found.id, properties=to_wire(found.outputs), inputs=to_wire(found.inputs)
        )

    def Update(self, request: Any, context: Any) -> Any:
        old, news = known(request, request.old_inputs, request.olds), plain(request.news)
        done = with_refusals(
            context,
            lambda: self.configured.update(old, news, preview=request.preview),
            inputs=request.news,
        )
        return provider_pb2.UpdateResponse(properties=to_wire(done))

    def Delete(self, request: Any, context: Any) -> Any:
        last = known(request, request.old_inputs, request.properties)
        with_refusals(context, lambda: self.configured.delete(last))
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        args = plain(request.args)
        try:
            found = self.configured.invoke(request.tok, args)
        except ProviderError as error:
            failure = provider_pb2.CheckFailure(property="", reason=str(error))
            return provider_pb2.InvokeResponse(failures=[failure])
        return provider_pb2.InvokeResponse(**{"return": to_wire(found)})


def changed_keys(olds: Values, news: Values, *, but: str) -> tuple[str, ...]:
    return tuple(key for key in sorted({*olds, *news}) if key != but and olds.get(key) != news.get(key))


def diff_response(changed: tuple[str, ...], replacing: tuple[str, ...], before: bool = False) -> Any:
    """What changed, and which of that needs a new resource."""
    replaces = [key for key in replacing if key in changed]
    some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=some, diffs=list(changed), replaces=replaces, deleteBeforeReplace=before
    )


def with_refusals(context: Any, act: Callable[[], Any], inputs: Any = None) -> Any:
    """What `act` says; the provider's refusal ends the call."""
    try:
        return act()
    except ProviderError as error:
        refuse(context, error, inputs)


def refuse(context: Any, error: ProviderError, inputs: Any) -> NoReturn:
    """End the call with the error; what a partly done call left behind goes along for the engine to record."""
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    if isinstance(error, PartialFailure):
        left = provider_pb2.ErrorResourceInitFailed(
            id=error.id, properties=to_wire(error.outputs), reasons=[str(error)], inputs=inputs
        )
        status.details.add().Pack(left)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(error))
    raise AssertionError("abort raises")


def serve(servicer: ProviderServicer) -> tuple[Any, int]:
    """A server of its own for one provider; returns it and its port."""
    server = grpc.server(futures.ThreadPoolExecutor(PARALLEL), options=UNLIMITED)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
