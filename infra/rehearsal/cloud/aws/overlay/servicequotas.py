"""Service Quotas: those of SageMaker's endpoints, and the few of EC2 and VPC that a platform meets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, Overlay, arn, emulates, now
from infra.rehearsal.cloud.aws.quotas import WIDE, catalogue, own_values

UNKNOWN = "The request failed because the specified service does not exist."
PAGE = 100


class ServiceQuotas(Overlay):
    """Values that were set survive in `account.state["servicequotas"]`; they hold in every region."""

    @emulates("ListServiceQuotas", "documented", "API_ListServiceQuotas")
    def list_applied(self, call: ApiCall) -> Mapping[str, Any]:
        """Those that have a value of the account's own, in pages; the others have their default alone."""
        service, names = call.parameters["ServiceCode"], self._names(call)
        values = own_values(self.account)
        return page(call, names, {code: values[service, code] for code in names if (service, code) in values})

    @emulates("ListAWSDefaultServiceQuotas", "documented", "API_ListAWSDefaultServiceQuotas")
    def list_defaults(self, call: ApiCall) -> Mapping[str, Any]:
        """All of the service, in pages; the values are wide, not AWS's."""
        names = self._names(call)
        return page(call, names, dict.fromkeys(names, WIDE))

    @emulates("GetServiceQuota", "documented", "API_GetServiceQuota")
    def get_applied(self, call: ApiCall) -> Mapping[str, Any]:
        """One that has a value of the account's own; the others are not found."""
        where = call.parameters["ServiceCode"], call.parameters["QuotaCode"]
        if where not in own_values(self.account):
            raise ApiError("NoSuchResourceException", UNKNOWN)
        return {"Quota": row(call, where[1], self._names(call)[where[1]], own_values(self.account)[where])}

    @emulates("GetAWSDefaultServiceQuota", "documented", "API_GetAWSDefaultServiceQuota")
    def get_default(self, call: ApiCall) -> Mapping[str, Any]:
        """One with its wide value."""
        code = self._code(call)
        return {"Quota": row(call, code, self._names(call)[code], WIDE)}

    @emulates("RequestServiceQuotaIncrease", "documented", "API_RequestServiceQuotaIncrease")
    def request_increase(self, call: ApiCall) -> Mapping[str, Any]:
        """Granted at once, where AWS takes minutes to days."""
        service, code = call.parameters["ServiceCode"], self._code(call)
        value = float(call.parameters["DesiredValue"])
        own_values(self.account)[service, code] = value
        asked = {"Id": call.environ.get("HTTP_AMZ_SDK_INVOCATION_ID", "0"), "DesiredValue": value}
        quota = row(call, code, self._names(call)[code], value)
        known = {key: each for key, each in quota.items() if key != "Value"}
        return {"RequestedQuota": {**known, **asked, "Status": "APPROVED", "Created": now()}}

    def _names(self, call: ApiCall) -> Mapping[str, str]:
        found = catalogue(call.parameters["ServiceCode"])
        if not found:
            raise ApiError("NoSuchResourceException", UNKNOWN)
        return found

    def _code(self, call: ApiCall) -> str:
        code = str(call.parameters["QuotaCode"])
        if code not in self._names(call):
            raise ApiError("NoSuchResourceException", UNKNOWN)
        return code


def row(call: ApiCall, code: str, name: str, value: float) -> dict[str, Any]:
    """A ServiceQuota."""
    service = call.parameters["ServiceCode"]
    return {
        "ServiceCode": service,
        "QuotaArn": arn("servicequotas", call.region, f"{service}/{code}"),
        "QuotaCode": code,
        "QuotaName": name,
        "Value": float(value),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


def page(call: ApiCall, names: Mapping[str, str], values: Mapping[str, float]) -> dict[str, Any]:
    """The page asked for, of quotas by code."""
    codes, token = list(values), str(call.parameters.get("NextToken", "0"))
    if not token.isdecimal():
        raise ApiError("InvalidPaginationTokenException", "Invalid token")
    begin, size = int(token), int(call.parameters.get("MaxResults", PAGE))
    more = {"NextToken": str(begin + size)} if begin + size < len(codes) else {}
    shown = codes[begin : begin + size]
    return {"Quotas": [row(call, code, names[code], values[code]) for code in shown], **more}
