"""Whom a token of `aws eks get-token` speaks for: the local Kubernetes asks it of every token that it does not know.

A token is a signed URL of STS's GetCallerIdentity that names the cluster; whoever it is signed by has what the
cluster's access entries say. https://docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html,
https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster and
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from infra.rehearsal.cloud.aws.account import Account
from infra.rehearsal.cloud.aws.calls import ApiError, Environ, HttpResponse, body
from infra.rehearsal.cloud.aws.eks_nodes.callers import find_caller
from infra.rehearsal.cloud.aws.eks_state import EksState
from infra.rehearsal.cloud.aws.signatures import Signatures
from infra.rehearsal.cloud.kubernetes.basics import access_group

TOKENS = "/_ecomdeploy/tokens/"
PREFIX = "k8s-aws-v1."
CLUSTER = "x-k8s-aws-id"
GOOD_SECONDS = 15 * 60
"""For which STS takes such a URL, whatever it says itself."""
LONGEST = 16_384
SESSION = re.compile(r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.+")
MASTERS = "system:masters"


@dataclass(frozen=True)
class TokenReviews:
    """Answers TokenReviews of the API server, which proves itself by `secret` behind TOKENS."""

    account: Account
    signatures: Signatures
    secret: str = field(repr=False)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        said = environ["PATH_INFO"].removeprefix(TOKENS)
        if not hmac.compare_digest(said.encode("latin-1", "replace"), self.secret.encode()):
            return HttpResponse.with_json("403 Forbidden", {}).send(start_response)
        try:
            asked = json.loads(body(environ))
            status = self._review(str(asked["spec"]["token"]))
        except (ValueError, KeyError, TypeError) as error:
            return HttpResponse.with_json("400 Bad Request", {"error": f"no TokenReview: {error}"}).send(
                start_response
            )
        answer = {"apiVersion": asked.get("apiVersion"), "kind": "TokenReview", "status": status}
        return HttpResponse.with_json("200 OK", answer).send(start_response)

    def _review(self, token: str) -> Mapping[str, Any]:
        try:
            with self.account.lock:
                return {"authenticated": True, "user": self._user(token)}
        except ApiError as refused:
            return {"authenticated": False, "error": refused.message}

    def _user(self, token: str) -> Mapping[str, Any]:
        """Raises ApiError for a token that is none, or speaks for nobody whom the cluster knows."""
        state: EksState = self.account.state.get("eks") or EksState()
        if state.held is None:
            raise ApiError("Unauthorized", "this Kubernetes is no EKS cluster")
        region, cluster = state.held
        environ = read_token(token, cluster)
        key = self.signatures.signer(environ, GOOD_SECONDS)
        arn = principal(find_caller(key, region))
        if arn == state.creators.get(state.held):
            return {"username": arn, "uid": arn, "groups": [MASTERS, "system:authenticated"]}
        entry = next(
            (
                record
                for (*where, who), record in state.access.items()
                if tuple(where) == state.held and _same(who, arn)
            ),
            None,
        )
        if entry is None:
            raise ApiError("Unauthorized", f"{arn} has no access entry")
        groups = [*entry.fields["kubernetesGroups"]]
        for policy in entry.fields["policies"].values():
            # one of a namespace gives nothing here: there would have to be a binding in it
            if policy["accessScope"]["type"] == "cluster":
                groups.append(access_group(policy["policyArn"].rpartition("/")[2]))
        return {"username": entry.fields["username"], "uid": arn, "groups": groups}


def read_token(token: str, cluster: str) -> Environ:
    """The request to STS that a token stands for. Raises ApiError for what is none, or is for another cluster."""
    coded = token.removeprefix(PREFIX)
    try:
        if coded == token or len(token) > LONGEST:
            raise ValueError
        url = urlsplit(base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode())
    except (ValueError, binascii.Error):
        raise ApiError("Unauthorized", f"it does not begin with {PREFIX}, or is no URL") from None
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    if query.get("Action") != "GetCallerIdentity" or url.path != "/":
        raise ApiError("Unauthorized", "it is not a call of GetCallerIdentity")
    if CLUSTER not in query.get("X-Amz-SignedHeaders", "").lower().split(";"):
        raise ApiError("Unauthorized", f"{CLUSTER} is not signed")
    return {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": f"/?{url.query}",
        "PATH_INFO": "/",
        "QUERY_STRING": url.query,
        "HTTP_HOST": url.netloc,
        "HTTP_X_K8S_AWS_ID": cluster,
        "CONTENT_LENGTH": "0",
        "wsgi.input": BytesIO(b""),
    }


def principal(arn: str) -> str:
    """The IAM role behind a session of it; others are themselves."""
    found = SESSION.fullmatch(arn)
    return f"arn:{found['partition']}:iam::{found['account']}:role/{found['role']}" if found else arn


def _same(entry: str, arn: str) -> bool:
    """Of a role's path a session tells nothing."""
    plain = re.sub(r":role/(.+/)?", ":role/", entry)
    return arn in (entry, plain)
