"""IAM over moto: AWS's own managed policies are there when they are asked for, not all 1,400 of them at start."""

from __future__ import annotations

import json
import re

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, HttpResponse, Overlay, emulates

AWS_OWN = re.compile(r"arn:aws:iam::aws:policy/(?:[\w+=,.@-]+/)*(?P<name>[\w+=,.@-]+)")
SOURCE = "AWS managed policy reference, as carried by moto"


class Iam(Overlay):
    """Policy documents are those that moto carries; a name it does not carry does not exist."""

    @emulates("AttachRolePolicy AttachUserPolicy GetPolicy GetPolicyVersion", "documented", SOURCE)
    def look_up(self, call: ApiCall) -> HttpResponse:
        """Of arn:aws:iam::aws:policy/... as well."""
        arn = call.parameters["PolicyArn"]
        if match := AWS_OWN.fullmatch(arn):
            self._carry(match["name"], arn)
        return self.moto(call)

    @emulates(
        "AddClientIDToOpenIDConnectProvider RemoveClientIDFromOpenIDConnectProvider",
        "documented",
        "API_AddClientIDToOpenIDConnectProvider; API_RemoveClientIDFromOpenIDConnectProvider",
    )
    def change_audience(self, call: ApiCall) -> dict[str, str]:
        """Twice is fine, either way."""
        from moto.iam.models import iam_backends

        client, arn = call.parameters["ClientID"], call.parameters["OpenIDConnectProviderArn"]
        held = iam_backends[ACCOUNT]["aws"].get_open_id_connect_provider(arn).client_id_list
        held[:] = [one for one in held if one != client]
        if call.operation.startswith("Add"):
            held.append(client)
        return {}

    def _carry(self, name: str, arn: str) -> None:
        from moto.iam.models import AWSManagedPolicy, aws_managed_policies_data, iam_backends

        backend = iam_backends[ACCOUNT]["aws"]
        if arn in backend.managed_policies:
            return
        data = json.loads(aws_managed_policies_data).get(name)
        if data is None:
            return
        policy = AWSManagedPolicy.from_data(name, ACCOUNT, backend.region_name, data)
        if policy.arn == arn:
            backend.aws_managed_policies.append(policy)
            backend.managed_policies[arn] = policy
