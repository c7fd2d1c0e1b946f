"""What Service Quotas and the services themselves say of an account's quotas and of what is used of them.

Source: https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/Welcome.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra.aws_session import AwsSession, error_code, refusals
from infra.quotas.quota import QuotaDemand, QuotaReading
from infra.quotas.usage import count_used

PAGE = 100
AT_ONCE = 4


@dataclass(frozen=True)
class AwsQuotas:
    """Asks the account and region of the session."""

    session: AwsSession

    def read(self, demands: Sequence[QuotaDemand]) -> Sequence[QuotaReading | None]:
        if not demands:
            return ()
        with refusals("asking for the account's quotas"), ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._read, demands))

    def _read(self, demand: QuotaDemand) -> QuotaReading | None:
        api = self.session.client("service-quotas")
        found = get(api, demand) if demand.code else find(api, demand)
        if found is None:
            return None
        return QuotaReading(
            demand=demand,
            name=found["QuotaName"],
            code=found["QuotaCode"],
            limit=float(found["Value"]),
            used=count_used(self.session, demand),
        )


def get(api: Any, demand: QuotaDemand) -> Mapping[str, Any] | None:
    """A quota by its code: the account's own value, else AWS's default."""
    from botocore.exceptions import ClientError

    where = {"ServiceCode": demand.service, "QuotaCode": demand.code}
    for operation in (api.get_service_quota, api.get_aws_default_service_quota):
        try:
            found: Mapping[str, Any] = operation(**where)["Quota"]
            return found
        except ClientError as error:
            if error_code(error) != "NoSuchResourceException":
                raise
    return None


def find(api: Any, demand: QuotaDemand) -> Mapping[str, Any] | None:
    """A quota by its name, the same way."""
    return next((one for one in list_quotas(api, demand.service) if one["QuotaName"] == demand.name), None)


def list_quotas(api: Any, service: str) -> Iterator[Mapping[str, Any]]:
    """All quotas of a service that have a value of the account's own, then all with AWS's default."""
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        pages = api.get_paginator(operation).paginate(
            ServiceCode=service, PaginationConfig={"PageSize": PAGE}
        )
        for page in pages:
            yield from page["Quotas"]
