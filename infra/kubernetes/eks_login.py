"""The token of `aws eks get-token`, where the AWS CLI is not at hand: STS's GetCallerIdentity as a signed URL.

https://docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html; its form is aws-iam-authenticator's
(https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster).
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from infra.aws_session import AwsSession
from modelpack.errors import CloudRefused

COMMAND, VERBS = "aws", ("eks", "get-token")
PREFIX, CLUSTER = "k8s-aws-v1.", "x-k8s-aws-id"
SECONDS = 60
TAKEN = {"--cluster-name": "cluster", "--region": "region", "--profile": "profile"}
IGNORED = {"--output": "json"}


def kubeconfig(cluster: str, region: str, endpoint: str, authority: str) -> dict[str, Any]:
    """As `aws eks update-kubeconfig` writes it. `authority`: PEM in base64."""
    program = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": COMMAND,
        "args": [*VERBS, "--cluster-name", cluster, "--region", region, "--output", "json"],
        "interactiveMode": "Never",
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"server": endpoint, "certificate-authority-data": authority}}
        ],
        "users": [{"name": cluster, "user": {"exec": program}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        "current-context": cluster,
    }


def asked_of(command: str, arguments: Sequence[str]) -> Mapping[str, str] | None:
    """What a kubeconfig asks the AWS CLI for, where that is a token, the CLI is not installed, and we could give it."""
    if (
        command != COMMAND
        or shutil.which(COMMAND)
        or tuple(word for word in VERBS if word in arguments) != VERBS
    ):
        return None
    words = [word for word in arguments if word not in VERBS]
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    known = {TAKEN[name]: value for name, value in pairs.items() if name in TAKEN}
    rest = {name: value for name, value in pairs.items() if name not in TAKEN}
    if (
        "cluster" not in known
        or len(words) % 2
        or any(IGNORED.get(name) != value for name, value in rest.items())
    ):
        return None
    return known


def give_token(asked: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """Signed by whoever AWS's own variables among `variables` say. Raises CloudRefused without credentials."""
    from botocore.exceptions import BotoCoreError

    more = {"AWS_REGION": asked.get("region"), "AWS_PROFILE": asked.get("profile")}
    environment = {**variables, **{name: value for name, value in more.items() if value}}

    def name_cluster(request: Any, **_: object) -> None:
        request.headers[CLUSTER] = asked["cluster"]

    try:
        client = AwsSession(environment).client("sts")
        client.meta.events.register("before-sign.sts.GetCallerIdentity", name_cluster)
        url = client.generate_presigned_url("get_caller_identity", ExpiresIn=SECONDS, HttpMethod="GET")
    except BotoCoreError as error:
        what = f"no token for the cluster {asked['cluster']}: {error}"
        raise CloudRefused(what, hint="log in again") from error
    return PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
