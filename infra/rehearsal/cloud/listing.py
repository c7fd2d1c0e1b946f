"""SageMaker's List* operations: filters, order and pages, the same for models, configurations and endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.rehearsal.cloud.overlay.base import ApiError, Call


def listed(call: Call, field: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The page asked for. `field`: "Models", whose rows have ModelName, ModelArn, CreationTime.

    Source: API_ListEndpoints and its siblings. Sorted by CreationTime, newest first, ten a page, unless asked otherwise.
    """
    asked = call.parameters
    name = next(key for key in ("ModelName", "EndpointConfigName", "EndpointName") if key[:-4] + "s" == field)
    found = [row for row in rows if _fits(row, asked, name)]
    order = asked.get("SortBy", "CreationTime")
    keys = {"Name": name, "Status": "EndpointStatus"}
    found.sort(
        key=lambda row: row[keys.get(order, "CreationTime")],
        reverse=asked.get("SortOrder", "Descending")[0] == "D",
    )
    first, size = _place(asked.get("NextToken")), int(asked.get("MaxResults", 10))
    page: dict[str, Any] = {field: found[first : first + size]}
    if first + size < len(found):
        page["NextToken"] = str(first + size)
    return page


def _fits(row: dict[str, Any], asked: dict[str, Any], name: str) -> bool:
    modified = row.get("LastModifiedTime", row["CreationTime"])
    return (
        asked.get("NameContains", "").lower() in row[name].lower()
        and asked.get("StatusEquals") in (None, row.get("EndpointStatus"))
        and ("CreationTimeAfter" not in asked or row["CreationTime"] > asked["CreationTimeAfter"])
        and ("CreationTimeBefore" not in asked or row["CreationTime"] < asked["CreationTimeBefore"])
        and ("LastModifiedTimeAfter" not in asked or modified > asked["LastModifiedTimeAfter"])
        and ("LastModifiedTimeBefore" not in asked or modified < asked["LastModifiedTimeBefore"])
    )


def _place(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdigit():
        raise ApiError("ValidationException", "Invalid pagination token.")
    return int(token)
