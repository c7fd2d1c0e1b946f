"""EC2 over moto: what EKS uses cannot be deleted under it, a NAT gateway leaves its address, and what is deleted takes
its tags along. GPU instance types are moto's own."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.eks_state import EksState
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, HttpResponse, Overlay, emulates

GOES = {
    "DeleteFlowLogs": "FlowLogIds",
    "DeleteInternetGateway": "InternetGatewayId",
    "DeleteLaunchTemplate": "LaunchTemplateId",
    "DeleteRouteTable": "RouteTableId",
    "DeleteSecurityGroup": "GroupId",
    "DeleteSubnet": "SubnetId",
    "DeleteVpc": "VpcId",
    "DeleteVpcEndpoints": "VpcEndpointIds",
    "ReleaseAddress": "AllocationId",
}
"""What goes with a call: the parameter that names it."""
OWN = {"DeleteSubnet", "DeleteVpcEndpoints"}
"""With a handler of their own."""


class Ec2(Overlay):
    """Reads the emulated EKS's state; keeps none."""

    @emulates("DeleteSubnet", "documented", "API_DeleteSubnet")
    def delete_subnet(self, call: ApiCall) -> HttpResponse:
        """Refused while a cluster or a node group is in the subnet."""
        state: EksState = self.account.state.get("eks") or EksState()
        name = call.parameters["SubnetId"]
        if name in state.subnets_in_use():
            raise ApiError(
                "DependencyViolation", f"The subnet '{name}' has dependencies and cannot be deleted."
            )
        return self.delete(call)

    @emulates(" ".join(sorted(GOES.keys() - OWN)), "documented", "Using_Tags")
    def delete(self, call: ApiCall) -> HttpResponse:
        """Its tags go with it; moto keeps them, and looks through them for every later answer."""
        answer = self.moto(call)
        tags = self.backend(call).tags
        named = call.parameters.get(GOES[call.operation], ())
        for gone in [named] if isinstance(named, str) else named:
            tags.pop(gone, None)
        return answer

    @emulates("DeleteVpcEndpoints", "documented", "API_DeleteVpcEndpoints")
    def delete_vpc_endpoints(self, call: ApiCall) -> HttpResponse:
        """It is gone: AWS shows it as `deleted` for some minutes, moto for ever."""
        answer = self.delete(call)
        for gone in call.parameters["VpcEndpointIds"]:
            self.backend(call).vpc_end_points.pop(gone, None)
        return answer

    def backend(self, call: ApiCall) -> Any:
        """moto's own."""
        from moto.ec2.models import ec2_backends

        return ec2_backends[ACCOUNT][call.region]

    @emulates("DeleteNatGateway", "documented", "API_DeleteNatGateway")
    def delete_nat_gateway(self, call: ApiCall) -> HttpResponse:
        """Its address is kept, and free for the next one; moto leaves the two together for ever."""
        answer = self.moto(call)
        backend = self.backend(call)
        gateway = backend.nat_gateways.get(call.parameters["NatGatewayId"])
        for address in list(backend.addresses):
            if gateway and address.eni is gateway._eni:
                backend.disassociate_address(association_id=address.association_id)
        return answer
