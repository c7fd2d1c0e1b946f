"""KServe's admission webhooks: HTTPS on loopback, answers in the AdmissionReview version that was asked in.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from infra.rehearsal.cloud.kubernetes.kserve.defaulter import (
    AdmissionRefusal,
    default_inference_service,
    mark_pod,
)
from infra.rehearsal.cloud.kubernetes.kserve.validator import validate_inference_service
from infra.rehearsal.cloud.kubernetes.kserve.words import GROUP, KIND, OWNER_LABEL, PLURAL, Object

DEFAULT = "/mutate-serving-kserve-io-v1beta1-inferenceservice"
VALIDATE = "/validate-serving-kserve-io-v1beta1-inferenceservice"
MARK_PODS = "/mutate-pods"
SERVER = "inferenceservice.kserve-webhook-server"
LONGEST = 8 * 1024**2


def review(path: str, asked: Object) -> Object:
    """The AdmissionReview that answers that one."""
    request = asked["request"]
    answer: Object = {"uid": request["uid"], "allowed": True}
    try:
        if path == VALIDATE:
            validate_inference_service(request["object"], request.get("oldObject"))
        else:
            change = mark_pod if path == MARK_PODS else default_inference_service
            answer |= _patch(request["object"], change(request["object"]))
    except AdmissionRefusal as refusal:
        status = {"code": refusal.code, "message": refusal.message}
        status |= {"reason": refusal.reason} if refusal.reason else {}
        answer |= {"allowed": False, "status": status}
    return {"apiVersion": asked["apiVersion"], "kind": "AdmissionReview", "response": answer}


def _patch(before: Object, after: Object) -> Object:
    """A JSON patch of what differs, one level below the object's own parts."""
    changes = []
    for part in ("metadata", "spec"):
        old, new = before.get(part) or {}, after.get(part) or {}
        for name in new:
            if old.get(name) != new[name]:
                changes.append({"op": "add", "path": f"/{part}/{name}", "value": new[name]})
    if not changes:
        return {}
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(changes).encode()).decode()}


class AdmissionHandler(BaseHTTPRequestHandler):
    """One connection of the API server's."""

    protocol_version = "HTTP/1.1"
    timeout = 300

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        if self.path.split("?")[0] not in (DEFAULT, VALIDATE, MARK_PODS) or length > LONGEST:
            self.send_error(404)
            return
        body = json.dumps(review(self.path.split("?")[0], json.loads(self.rfile.read(length)))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing: what is refused is told to the caller."""


@dataclass(frozen=True)
class Webhook:
    """One entry of a webhook configuration."""

    name: str
    path: str
    group: str
    version: str
    resource: str
    operations: tuple[str, ...]
    pods_of: str = ""

    def entry(self, port: int, authority: bytes) -> Object:
        """As the API has it. `authority`: the PEM that the API server trusts for it."""
        bundle = base64.b64encode(authority).decode()
        rule = {
            "apiGroups": [self.group],
            "apiVersions": [self.version],
            "resources": [self.resource],
            "operations": list(self.operations),
        }
        entry: Object = {
            "name": f"{SERVER}.{self.name}",
            "clientConfig": {"url": f"https://127.0.0.1:{port}{self.path}", "caBundle": bundle},
            "rules": [rule],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1beta1"],
            "timeoutSeconds": 10,
        }
        if self.pods_of:
            entry["objectSelector"] = {"matchExpressions": [{"key": self.pods_of, "operator": "Exists"}]}
        return entry


def webhook_configurations(port: int, authority: bytes) -> list[Object]:
    """The two objects that make the API server ask."""
    change = ("CREATE", "UPDATE")
    mutating = (
        Webhook("defaulter", DEFAULT, GROUP, "v1beta1", PLURAL, change),
        Webhook("pod-mutator", MARK_PODS, "", "v1", "pods", ("CREATE",), pods_of=OWNER_LABEL),
    )
    validating = (Webhook("validator", VALIDATE, GROUP, "v1beta1", PLURAL, change),)
    kinds = {"MutatingWebhookConfiguration": mutating, "ValidatingWebhookConfiguration": validating}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": f"{KIND.lower()}.{GROUP}"},
            "webhooks": [one.entry(port, authority) for one in entries],
        }
        for kind, entries in kinds.items()
    ]
