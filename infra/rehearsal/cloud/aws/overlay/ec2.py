"""EC2 over moto: what EKS uses cannot be deleted under it, and a NAT gateway leaves its address. GPU instance types are
moto's own."""

from __future__ import annotations

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.eks_state import EksState
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, HttpResponse, Overlay, emulates


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
        return self.moto(call)

    @emulates("DeleteNatGateway", "documented", "API_DeleteNatGateway")
    def delete_nat_gateway(self, call: ApiCall) -> HttpResponse:
        """Its address is kept, and free for the next one; moto leaves the two together for ever."""
        from moto.ec2.models import ec2_backends

        answer = self.moto(call)
        backend = ec2_backends[ACCOUNT][call.region]
        gateway = backend.nat_gateways.get(call.parameters["NatGatewayId"])
        for address in list(backend.addresses):
            if gateway and address.eni is gateway._eni:
                backend.disassociate_address(association_id=address.association_id)
        return answer
