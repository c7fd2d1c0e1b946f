"""The registry's answers: JSON, pages with a Link header, and errors in the distribution spec's form."""

from __future__ import annotations

import bisect
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Request, Response

DIGITS = 15
"""The longest number that a header or a query may hold: Python itself refuses to read some thousand of them."""


class RegistryError(Exception):
    """An error answer: HTTP status, the distribution spec's code, a sentence."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        document = {"errors": [{"code": self.code, "message": self.message, "detail": None}]}
        return json_answer(document, status=self.status, headers=self.headers)


def json_answer(
    document: Any,
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(
        json.dumps(document), status=status, content_type=content_type, headers=dict(headers or {})
    )


def page(request: Request, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The names after `last`, at most `n`, and a Link header when there are more. Names must be sorted."""
    start = bisect.bisect_right(names, request.args.get("last", ""))
    text = request.args.get("n")
    if text is None:
        return list(names[start:]), {}
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS:
        raise RegistryError(400, "PAGINATION_NUMBER_INVALID", f"n must be a whole number, not {text[:40]!r}")
    count = int(text)
    shown = list(names[start : start + count])
    if count == 0 or start + count >= len(names):
        return shown, {}
    query = urlencode({"n": count, "last": shown[-1]})
    return shown, {"Link": f'<{request.path}?{query}>; rel="next"'}
