"""`aws:*` for the embedded engine: the verbs of `engine.provider.Provider` over the table and botocore.

It reaches only an emulated AWS on this machine; a real account is refused (`clients.REFUSAL`).
What it promises is the table's: a type or a property that no row knows is a failure that names it.
"""
# ruff: noqa: A002  (`type` and `id` are the protocol's words)

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from infra.rehearsal.engine.provider import (
    UNKNOWN,
    CheckFailure,
    CheckResponse,
    CreateResponse,
    DiffResponse,
    KnownResource,
    PartialFailure,
    ProviderError,
    ReadResponse,
    ResourceIdentity,
    Values,
)
from infra.rehearsal.providers.aws import naming
from infra.rehearsal.providers.aws.actions import apply, await_gone, await_ready, find, look, refusals
from infra.rehearsal.providers.aws.clients import CONFIGURATION, REFUSAL, AwsClient, Sessions, loopback
from infra.rehearsal.providers.aws.property_types import complete, differences, state
from infra.rehearsal.providers.aws.resource import ResourceCall, ResourceType
from infra.rehearsal.providers.aws.table import TypeTable


@dataclass
class AwsProviders:
    """The engine's factory for package "aws": its providers share one botocore session and one table."""

    sessions: Sessions = field(default_factory=Sessions)
    table: TypeTable = field(default_factory=TypeTable)

    def __call__(
        self, package: str, configuration: Mapping[str, Any], environment: Mapping[str, str]
    ) -> AwsProvider:
        """A provider not yet configured. Raises `ProviderError` for another package."""
        if package != "aws":
            raise ProviderError(
                "UnknownPackage", f'the embedded engine has no provider "{package}": use the Pulumi CLI'
            )
        return AwsProvider(environment, sessions=self.sessions, table=self.table)


class AwsProvider:
    """One configured `aws` provider. `environment` gives the endpoint, and region and keys by default."""

    package, inside = "aws", False

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        sessions: Sessions | None = None,
        table: TypeTable | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.environment = environment
        self.sessions = sessions or Sessions()
        self.table = table or TypeTable()
        self.pause = pause
        self.default_tags: dict[str, str] = {}
        self.accepted = frozenset(environment.get(naming.ACCEPTED_OWNERS, "").split())
        """Owners whose things are taken over as one's own."""
        self.account: AwsClient = self._account({})

    def _account(self, inputs: Mapping[str, Any]) -> AwsClient:
        env = self.environment
        endpoints: dict[str, str] = {
            name.removeprefix("AWS_ENDPOINT_URL_").replace("_", "").lower(): url
            for name, url in env.items()
            if name.startswith("AWS_ENDPOINT_URL_") and url
        }
        for entry in inputs.get("endpoints") or ():
            endpoints |= {service.lower(): url for service, url in entry.items() if url}
        return AwsClient(
            sessions=self.sessions,
            region=inputs.get("region")
            or env.get("AWS_REGION")
            or env.get("AWS_DEFAULT_REGION")
            or "us-east-1",
            endpoint=env.get("AWS_ENDPOINT_URL", ""),
            endpoints=endpoints,
            credentials=(
                inputs.get("accessKey") or env.get("AWS_ACCESS_KEY_ID") or "local",
                inputs.get("secretKey") or env.get("AWS_SECRET_ACCESS_KEY") or "local",
            ),
        )

    def configure(self, inputs: Mapping[str, Any]) -> None:
        """Take region, endpoints, keys, default tags and the account guard. Raises `ProviderError` when the
        configuration is not understood, leads off this machine, or the account is not an allowed one."""
        strange = sorted(
            key for key in set(inputs) - CONFIGURATION if inputs[key] is not None and not key.startswith("__")
        )
        if strange:
            raise ProviderError(
                "UnknownConfiguration", f"aws provider: the embedded engine does not know {strange}"
            )
        self.account = self._account(inputs)
        self.default_tags = dict((inputs.get("defaultTags") or {}).get("tags") or {})
        for url in (*self.account.endpoints.values(), self.account.endpoint):
            if url and not loopback(url):
                raise ProviderError("RealAccount", f"{REFUSAL} (endpoint {url})")
        if not self.account.endpoint and not self.account.endpoints:
            raise ProviderError("RealAccount", f"{REFUSAL} (AWS_ENDPOINT_URL is not set)")
        allowed = inputs.get("allowedAccountIds") or ()
        if allowed:
            with refusals():
                account = self.account.id
            if account not in allowed:
                raise ProviderError(
                    "AccountNotAllowed", f"account {account} is not in allowedAccountIds {list(allowed)}"
                )

    def supports(self, type: str) -> bool:
        return type in self.table.resources

    def _row(self, type: str) -> ResourceType:
        if type not in self.table.resources:
            raise ProviderError(
                "UnknownType", f"the embedded engine does not know {type}: use the Pulumi CLI"
            )
        return self.table.resources[type]

    def _call(self, type: str, inputs: Values, **more: Any) -> ResourceCall:
        row = self._row(type)
        tags = naming.merge_tags(self.default_tags, inputs) if row.tag else {}
        call = ResourceCall(row=row, account=self.account, inputs=inputs, tags=tags, **more)
        call.settle = lambda: await_ready(call, self.pause)
        return call

    def check(
        self, type: str, who: ResourceIdentity, olds: Values | None, news: Values, *, fresh_name: bool
    ) -> CheckResponse:
        if type not in self.table.resources:
            reason = f"the embedded engine does not know the resource type {type}: use the Pulumi CLI"
            return CheckResponse(news, (CheckFailure("", reason),))
        row = self.table.resources[type]
        failures: list[CheckFailure] = []
        given = dict(news)
        if row.name and given.get(row.name) is None:
            given[row.name] = self._name(row, who, olds or {}, fresh_name)
        inputs = complete(row.all_properties(), given, "", failures)
        if row.name and news.get(row.name) is None:
            inputs[naming.DEFAULTS] = [row.name]
        if inputs.get("region", self.account.region) not in (self.account.region, UNKNOWN):
            failures.append(
                CheckFailure(
                    "region", f"this provider is for {self.account.region}: give it another provider"
                )
            )
        return CheckResponse(inputs, tuple(failures))

    @staticmethod
    def _name(row: ResourceType, who: ResourceIdentity, olds: Values, fresh: bool) -> str:
        previous = olds.get(row.name, "")
        if not fresh and naming.is_automatic(row, olds):
            return str(previous)
        return naming.automatic(row, who, (previous or secrets.token_hex(8)) if fresh else "")

    def diff(self, old: KnownResource, news: Values, **_: object) -> DiffResponse:
        row = self._row(old.type)
        paths = differences(row.all_properties(), old.inputs, news)
        changed = list(dict.fromkeys(path.split(".")[0] for path in paths))
        replaces = tuple(
            dict.fromkeys(path.split(".")[0] for path in paths if self.table.replaces(row, path))
        )
        if row.tag and "tags" not in changed and not self._same_tags(old.outputs, news):
            changed.append("tagsAll")
        clash = (
            bool(row.identity) and not set(row.identity) & set(changed) and not naming.is_automatic(row, news)
        )
        return DiffResponse(tuple(changed), replaces, bool(replaces) and clash)

    def _same_tags(self, outputs: Values, news: Values) -> bool:
        if "tagsAll" not in outputs or not naming.is_known(news.get("tags") or {}):
            return True
        return bool((outputs["tagsAll"] or {}) == naming.merge_tags(self.default_tags, news))

    def create(self, type: str, who: ResourceIdentity, inputs: Values, *, preview: bool) -> CreateResponse:
        call = self._call(type, inputs)
        row = call.row
        if preview:
            with refusals():
                return self._foresee(call)
        with refusals():
            found = self._adopt(call)
            if not found:
                call.id = row.create(call)
        try:
            with refusals():
                row.finish(call)
                await_ready(call, self.pause)
                return CreateResponse(call.id, self._read_made(call).outputs, found)
        except ProviderError as refused:
            raise PartialFailure(
                refused.code, refused.message, id=call.id, outputs=self._remains(call)
            ) from refused

    def _read_made(self, call: ResourceCall) -> ReadResponse:
        reading = look(call)
        if reading is None:
            raise ProviderError("NotFound", f"{call.row.type} {call.id} was made and is not there")
        return find(call, reading, self.default_tags)

    def _remains(self, call: ResourceCall) -> Values:
        """The outputs of a resource that is there but not well."""
        try:
            with refusals():
                return self._read_made(call).outputs
        except ProviderError:
            return {key: value for key, value in call.inputs.items() if not key.startswith("__")}

    def _foresee(self, call: ResourceCall) -> CreateResponse:
        """What a create would find and take over, with its id, so that what hangs on it can be foreseen as well."""
        made = CreateResponse("", self._preview(call.row, call.inputs))
        for reading in naming.find_own(call):
            told = naming.describe_found(call, reading, self.accepted)
            if naming.find_stranger(call, reading, self.accepted):
                return replace(made, found=told)
            there = find(call, reading, self.default_tags)
            call.olds, call.outputs = there.inputs, there.outputs
            paths = differences(call.row.all_properties(), there.inputs, call.inputs)
            if not any(self.table.replaces(call.row, path) for path in paths):
                outputs = self._preview(call.row, call.inputs, there.outputs, self._diff_inputs(call))
                return CreateResponse(call.id, outputs, told)
        return made

    def _adopt(self, call: ResourceCall) -> str:
        """Take over what a killed run left; says what that was ("": nothing). Raises `ProviderError` when it is
        another's."""
        row = call.row
        for candidate in row.find(call):
            call.id = candidate
            reading = look(call)
            if reading is None:
                continue
            there = find(call, reading, self.default_tags)
            paths = differences(row.all_properties(), there.inputs, call.inputs)
            foreign = not naming.is_same(call, reading)
            blocked = [path for path in paths if self.table.replaces(row, path)]
            naming.refuse_stranger(call, reading, self.accepted)
            if (foreign or blocked) and row.identity:
                why = f"differs in {', '.join(blocked)}" if blocked else "does not carry this stack's tags"
                raise ProviderError("AlreadyExists", f"{row.type} {candidate} exists already and {why}")
            if foreign or blocked:
                continue
            if row.broken(call):
                row.delete(call)
                await_gone(call, self.pause)
                break
            call.olds, call.outputs = there.inputs, there.outputs
            self._apply(call, self._diff_inputs(call), [])
            return naming.describe_found(call, reading, self.accepted)
        call.id = ""
        return ""

    def _apply(self, call: ResourceCall, changed: set[str], done: list[str]) -> None:
        """The changes, once what an earlier run (or someone else) began is over."""
        if changed:
            await_ready(replace(call, olds={}), self.pause)
            apply(call, changed, done)

    def _diff_inputs(self, call: ResourceCall) -> set[str]:
        old = KnownResource(call.row.type, call.id, call.olds, call.outputs)
        return set(self.diff(old, call.inputs).changed)

    def read(self, known: KnownResource) -> ReadResponse | None:
        call = self._call(known.type, known.inputs, id=known.id, outputs=known.outputs)
        with refusals():
            reading = look(call)
        return None if reading is None else find(call, reading, self.default_tags)

    def update(self, old: KnownResource, news: Values, *, preview: bool, **_: object) -> Values:
        call = self._call(old.type, news, id=old.id, olds=old.inputs, outputs=old.outputs)
        changed = self._diff_inputs(call)
        if preview:
            return self._preview(call.row, news, old.outputs, changed)
        done: list[str] = []
        try:
            with refusals():
                if not self._mend(call):
                    self._apply(call, changed, done)
                await_ready(call, self.pause)
                return self._read_made(call).outputs
        except ProviderError as refused:
            if not done:
                raise
            raise PartialFailure(
                refused.code, refused.message, id=old.id, outputs=self._remains(call)
            ) from refused

    def _mend(self, call: ResourceCall) -> bool:
        """Make again, under the same id, what can never be used as it is."""
        if not call.row.broken(call):
            return False
        call.row.delete(call)
        await_gone(call, self.pause)
        call.id = call.row.create(call)
        call.row.finish(call)
        return True

    def delete(self, known: KnownResource) -> None:
        call = self._call(known.type, known.inputs, id=known.id, outputs=known.outputs)
        with refusals():
            if look(call) is None:
                return
            call.row.delete(call)
            if not call.row.lingers:
                await_gone(call, self.pause)

    def invoke(self, token: str, args: Values) -> Values:
        """A data source. Raises `ProviderError` for one that the table does not have."""
        if token not in self.table.functions:
            raise ProviderError(
                "UnknownFunction", f"the embedded engine does not know {token}: use the Pulumi CLI"
            )
        with refusals():
            return self.table.functions[token](self.account, args)

    def _preview(
        self, row: ResourceType, inputs: Values, olds: Values | None = None, changed: set[str] | None = None
    ) -> Values:
        """The outputs of a preview: inputs as they are, what only the cloud knows unknown."""
        outputs = state(row.properties, inputs, olds, whole=False)
        for name in row.outputs:
            outputs[name] = UNKNOWN if olds is None else olds.get(name)
        for name, causes in row.volatile.items():
            if changed and changed & set(causes) and name not in inputs:
                outputs[name] = UNKNOWN
        if row.regional:
            outputs["region"] = self.account.region
        if row.tag:
            tags = inputs.get("tags") or {}
            outputs["tags"] = inputs.get("tags")
            outputs["tagsAll"] = (
                naming.merge_tags(self.default_tags, inputs) if tags is not UNKNOWN else UNKNOWN
            )
        return {key: value for key, value in outputs.items() if value is not None}
