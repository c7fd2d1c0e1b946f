"""SageMaker's List* operations: filters, order and pages, the same for models, configurations and endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError

TIMES = ("CreationTime", "LastModifiedTime")


def list_page(
    call: ApiCall, field: str, rows: Iterable[dict[str, Any]], kind: str = "", order: str = "Descending"
) -> dict[str, Any]:
    """The page asked for of `field` ("Models"), by API_ListEndpoints and its siblings.

    By name part, status and time; ten a page, newest first or as `order` says, unless asked otherwise. `kind`
    ("TrainingJob"): what the fields of a row begin with, where that is not the field's own name.
    """
    asked, kind = call.parameters, kind or field[:-1]
    name, status = f"{kind}Name", f"{kind}Status"
    found = [row for row in rows if _fits(row, asked, name, status)]
    by = {"Name": name, "Status": status}.get(asked.get("SortBy", ""), "CreationTime")
    found.sort(key=lambda row: row[by], reverse=asked.get("SortOrder", order).startswith("Desc"))
    token, size = asked.get("NextToken", "0"), int(asked.get("MaxResults", 10))
    if not token.isdecimal():
        raise ApiError("ValidationException", "Invalid pagination token.")
    page: dict[str, Any] = {field: found[int(token) : int(token) + size]}
    if int(token) + size < len(found):
        page["NextToken"] = str(int(token) + size)
    return page


def _fits(row: dict[str, Any], asked: dict[str, Any], name: str, status: str) -> bool:
    return (
        asked.get("NameContains", "").lower() in row[name].lower()
        and asked.get("StatusEquals") in (None, row.get(status))
        and all(
            (f"{time}After" not in asked or row[time] > asked[f"{time}After"])
            and (f"{time}Before" not in asked or row[time] < asked[f"{time}Before"])
            for time in TIMES
            if time in row
        )
    )
