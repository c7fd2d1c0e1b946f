"""`kubernetes:*` for the embedded engine: the verbs of `engine.provider.Provider` by server-side apply.

Any kind that the API server serves, and any API server. What is not a kind of its own (Helm releases and charts, files
and folders of manifests, lists, patches) is refused by name. States are pulumi-kubernetes' own.
"""
# ruff: noqa: A002  (`type` and `id` are the protocol's words)

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, Object
from infra.kubernetes.objects import condition
from infra.rehearsal.engine.paths import Path
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
from infra.rehearsal.providers.kubernetes import drift, fields, objects, writes
from infra.rehearsal.providers.kubernetes.completion import canonical, complete, drop_nulls, find_failures
from infra.rehearsal.providers.kubernetes.connection import ClusterConnection, connect
from infra.rehearsal.providers.kubernetes.patience import NotReady, Patience
from infra.rehearsal.providers.kubernetes.replacements import find_replacing, immutable_fields
from infra.targets.base import Clock

BOOKKEEPING: Final = ("managedFields", "resourceVersion", "generation")
PROPAGATION: Final = {"orphan": "Orphan", "background": "Background"}


class KubernetesProvider:
    """One configured `kubernetes` provider. `environment` gives the kubeconfig where the configuration has none."""

    package = "kubernetes"
    inside = True

    def __init__(self, environment: Mapping[str, str], clock: Clock | None = None) -> None:
        self.environment = environment
        self.clock = clock or Clock()
        self._connection: ClusterConnection | None = None

    def configure(self, inputs: Mapping[str, Any]) -> None:
        """Take kubeconfig, context, namespace and what may change in place. Raises `ProviderError`."""
        self._connection = connect(inputs, self.environment)

    @property
    def connection(self) -> ClusterConnection:
        """The cluster it was configured for."""
        assert self._connection is not None, "configure comes first"
        return self._connection

    @property
    def client(self) -> KubernetesClient:
        return self.connection.client

    @property
    def patience(self) -> Patience:
        return Patience(self.client, self.clock)

    def supports(self, type: str) -> bool:
        return objects.kind_of(type) is not None

    def invoke(self, token: str, args: Values) -> Values:
        """None is here: files of manifests, charts and kustomize are read by the Pulumi CLI's plugin only."""
        raise ProviderError(
            "UnknownFunction", f"the embedded engine does not know {token}: use the Pulumi CLI"
        )

    # ---- check ----

    def check(
        self, type: str, who: ResourceIdentity, olds: Values | None, news: Values, *, fresh_name: bool
    ) -> CheckResponse:
        """Name, namespace, and what can be said without the object. As pulumi-kubernetes does under server-side
        apply, no label is put on it but one that it has already."""
        known = objects.kind_of(type)
        if known is None or news.get("kind", known[1]) != known[1]:
            reason = f"the embedded engine does not know {type}: use the Pulumi CLI"
            return CheckResponse(news, (CheckFailure("", reason),))
        inputs = complete(known, who.name, {} if fresh_name else olds or {}, news)
        metadata = inputs["metadata"]
        with writes.refusals():
            if metadata is not UNKNOWN and "namespace" not in metadata and self._may_be_namespaced(*known):
                metadata["namespace"] = self.connection.namespace
        return CheckResponse(objects.mark_secrets(inputs), find_failures(inputs))

    def _may_be_namespaced(self, api_version: str, kind: str) -> bool:
        """What the cluster does not know yet is taken to be; its create knows better."""
        try:
            return self.client.kind(api_version, kind).namespaced
        except KubernetesRefused as refused:
            if refused.status == 404:
                return True
            raise

    # ---- diff ----

    def diff(self, old: KnownResource, news: Values, *, ignored: tuple[str, ...] = ()) -> DiffResponse:
        """The paths that differ; when none needs a new object, the API server says by a dry run what would come of
        them. So "1000m" for "1" is no change, and what it would refuse is an error of the plan."""
        before, new = (canonical(drop_nulls(side)) for side in (old.inputs, news))
        paths = tuple(drift.differences(before, new))
        replaces = find_replacing(
            paths,
            immutable_fields(
                new,
                config_maps_change=self.connection.config_maps_change,
                secrets_change=self.connection.secrets_change,
            ),
        )
        if new.get("metadata") is UNKNOWN:
            replaces = (("metadata",),)
        with writes.refusals():
            if self._must_run_again(new, old.id):
                replaces = (*replaces, ("metadata", "annotations"))
            if replaces:
                changed = _tops((*paths, *replaces))
                return DiffResponse(changed, _tops(replaces), _keeps_name(new, old.id))
            if not paths or not objects.is_known(news):
                return DiffResponse(_tops(paths))
            return DiffResponse(self._ask(old, news, ignored, paths))

    def _ask(
        self, old: KnownResource, news: Values, ignored: tuple[str, ...], paths: tuple[Path, ...]
    ) -> tuple[str, ...]:
        """What of the object a dry run would change."""
        obj = self._at(old.id, news)
        live = writes.look(self.client, obj)
        if live is None or fields.was_made_by_pulumi(live):
            return _tops(paths)
        manager = objects.manager_of("", news, old.outputs)
        body = fields.leave_ignored(obj, live, ignored, manager)
        after = _comparable(writes.apply(self.client, writes.place(self.client, body), manager, dry_run=True))
        return _tops(tuple(drift.differences(_comparable(live), after)))

    def _must_run_again(self, inputs: Values, id: str) -> bool:
        """A Job that is to be replaced for having failed (`pulumi.com/replaceUnready`)."""
        if inputs.get("kind") != "Job" or objects.annotation(inputs, objects.REPLACE_UNREADY) != "true":
            return False
        live = writes.look(self.client, self._at(id, inputs))
        return live is not None and condition(live, "Complete").get("status") != "True"

    def _at(self, id: str, inputs: Values) -> Object:
        """What is sent for these inputs, at the place that the id names."""
        namespace, name = objects.place_of(id)
        obj = objects.to_object(inputs)
        metadata = {**objects.metadata_of(obj), "name": name} | (
            {"namespace": namespace} if namespace else {}
        )
        return {**obj, "metadata": metadata}

    # ---- create ----

    def create(self, type: str, who: ResourceIdentity, inputs: Values, *, preview: bool) -> CreateResponse:
        manager = objects.manager_of(who.urn, inputs, {})
        if preview and not objects.is_known(inputs):
            return CreateResponse("", inputs)
        obj = objects.to_object(inputs)
        with writes.refusals():
            if preview:
                return CreateResponse("", self._preview_create(obj, inputs, manager))
            live = self._make(obj, manager)
        return CreateResponse(objects.identity_of(live), self._settle(inputs, live, manager, ""))

    def _preview_create(self, obj: Object, inputs: Values, manager: str) -> Values:
        """The answer of a dry run; the inputs where none can be had: its kind or its namespace comes with the same
        run, or it is there and is replaced under the same name."""
        try:
            placed = writes.place(self.client, obj)
            live = self._find(placed, manager)
            if live is not None:
                return inputs
            answer = writes.apply(self.client, placed, manager, dry_run=True)
        except KubernetesRefused as refused:
            if refused.status == 404:
                return inputs
            raise
        return objects.hide_unborn(
            objects.to_state(inputs, answer, manager, str(inputs["apiVersion"])), inputs
        )

    def _make(self, obj: Object, manager: str) -> Object:
        there = self._find(obj, manager) if self.client.knows(obj["apiVersion"], obj["kind"]) else None
        if there is not None and objects.metadata_of(there).get("deletionTimestamp"):
            self.patience.await_gone({}, there)
        return writes.apply_new(self.client, obj, manager, clock=self.clock)

    def _find(self, obj: Object, manager: str) -> Object | None:
        """What a killed run left. Raises `ProviderError` when the name is another's."""
        there = writes.look(self.client, writes.place(self.client, obj))
        if (
            there is None
            or fields.is_applied_by(there, manager)
            or objects.metadata_of(there).get("deletionTimestamp")
        ):
            return there
        plural = self.client.kind(obj["apiVersion"], obj["kind"]).plural
        raise ProviderError(
            "AlreadyExists",
            f'{plural} "{objects.identity_of(there)}" already exists, and is not of this stack: give the resource '
            "another name, delete that one, or take it over with the Pulumi CLI (pulumi import)",
        )

    def _settle(
        self, inputs: Values, live: Object, manager: str, initial: str, before: Object | None = None
    ) -> Values:
        """The outputs, once it is ready. Raises `PartialFailure` when it is there and does not come to that."""
        initial = initial or str(inputs["apiVersion"])
        try:
            with writes.refusals():
                live = self.patience.await_ready(inputs, live, before)
        except ProviderError as error:
            seen = error.live if isinstance(error, NotReady) else live
            raise PartialFailure(
                error.code,
                error.message,
                id=objects.identity_of(seen),
                outputs=objects.to_state(inputs, seen, manager, initial),
            ) from error
        return objects.to_state(inputs, live, manager, initial)

    # ---- read, update, delete ----

    def read(self, known: KnownResource) -> ReadResponse | None:
        """The live object. Of the inputs those fields are new that have changed since it was last seen."""
        with writes.refusals():
            live = writes.look(self.client, self._at(known.id, known.inputs))
            if live is None:
                return None
            trouble = self.patience.trouble(known.inputs, live)
        then = {key: value for key, value in known.outputs.items() if key not in objects.INTERNAL}
        managed = fields.tree_of(fields.entries(live))
        seen = drift.read_inputs(drop_nulls(known.inputs), then, objects.to_values(live), managed)
        manager = objects.manager_of("", known.inputs, known.outputs)
        initial = str(known.outputs.get(objects.INITIAL_KEY) or known.inputs.get("apiVersion", ""))
        state = objects.to_state(seen, live, manager, initial)
        return ReadResponse(known.id, objects.mark_secrets(seen), state, trouble)

    def update(
        self, old: KnownResource, news: Values, *, preview: bool, ignored: tuple[str, ...] = ()
    ) -> Values:
        manager = objects.manager_of("", news, old.outputs)
        former = objects.manager_of("", old.inputs, old.outputs)
        initial = str(old.outputs.get(objects.INITIAL_KEY, ""))
        if preview and not objects.is_known(news):
            return {key: value for key, value in old.outputs.items() if key != "status"} | news
        with writes.refusals():
            obj = writes.place(self.client, self._at(old.id, news))
            live = writes.look(self.client, obj)
            body = fields.leave_ignored(obj, live, ignored, manager) if live else obj
            if live is not None and not preview:
                writes.hand_over(self.client, live, manager)
            answer = writes.apply(self.client, body, manager, dry_run=preview)
            if preview:
                return objects.to_state(news, answer, manager, initial)
            if live is not None and former != manager:
                writes.give_up(self.client, answer, former)
        return self._settle(news, answer, manager, initial, live)

    def delete(self, known: KnownResource) -> None:
        """Delete it, children first, and wait until it is gone. Another that has come to its name is left alone."""
        with writes.refusals():
            live = writes.look(self.client, self._at(known.id, known.inputs))
            uid = objects.metadata_of(known.outputs).get("uid")
            if live is None or (uid and uid != objects.metadata_of(live).get("uid")):
                return
            wanted = objects.annotation(known.inputs, objects.PROPAGATION).lower()
            self.client.delete(live, propagation=PROPAGATION.get(wanted, "Foreground"))
            self.patience.await_gone(known.inputs, live)


def _comparable(live: Object) -> Object:
    """What of a live object is worth comparing."""
    metadata = {key: value for key, value in objects.metadata_of(live).items() if key not in BOOKKEEPING}
    return {key: value for key, value in live.items() if key != "status"} | {"metadata": metadata}


def _tops(paths: tuple[Path, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(path[0]) for path in paths))


def _keeps_name(news: Values, id: str) -> bool:
    """Whether the replacement would meet the old one: same name, same namespace, both the program's own."""
    if not isinstance(news.get("metadata"), dict) or objects.is_autonamed(news):
        return False
    namespace, name = objects.place_of(id)
    metadata = objects.metadata_of(news)
    return metadata.get("name") == name and metadata.get("namespace", "default") == (namespace or "default")
