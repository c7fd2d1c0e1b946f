"""SageMaker's List* operations: filters, order and pages, the same for models, configurations and endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError


def list_page(call: ApiCall, field: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The page asked for of `field` ("Models"), by API_ListEndpoints and its siblings.

    By name part, status and creation time; newest first, ten a page, unless asked otherwise.
    """
    asked, name = call.parameters, f"{field[:-1]}Name"
    found = [row for row in rows if _fits(row, asked, name)]
    by = {"Name": name, "Status": "EndpointStatus"}.get(asked.get("SortBy", ""), "CreationTime")
    found.sort(key=lambda row: row[by], reverse=asked.get("SortOrder", "Descending").startswith("Desc"))
    token, size = asked.get("NextToken", "0"), int(asked.get("MaxResults", 10))
    if not token.isdecimal():
        raise ApiError("ValidationException", "Invalid pagination token.")
    page: dict[str, Any] = {field: found[int(token) : int(token) + size]}
    if int(token) + size < len(found):
        page["NextToken"] = str(int(token) + size)
    return page


def _fits(row: dict[str, Any], asked: dict[str, Any], name: str) -> bool:
    return (
        asked.get("NameContains", "").lower() in row[name].lower()
        and asked.get("StatusEquals") in (None, row.get("EndpointStatus"))
        and ("CreationTimeAfter" not in asked or row["CreationTime"] > asked["CreationTimeAfter"])
        and ("CreationTimeBefore" not in asked or row["CreationTime"] < asked["CreationTimeBefore"])
    )
