"""The tool that looks orders up. Nothing of an order is said unless its own customer asks.

A customer is who gives both the order's customer id and the postal code of that customer. A wrong pair, another
customer's order and an order that does not exist are answered alike, so that nobody can try numbers out.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any

import msgspec

ORDER = re.compile(r"#?\bW\d{7}\b", re.IGNORECASE)
CUSTOMER = re.compile(r"\b[a-z]+_[a-z]+_\d{1,6}\b")
POSTAL_CODE = re.compile(r"\b\d{5}\b")


class Order(msgspec.Struct, frozen=True):
    """An order: whose it is, and its facts as sentences."""

    customer: str
    postal_code: str
    facts: tuple[str, ...]


class OrderQuery(msgspec.Struct, frozen=True):
    """What a question says about an order and who asks; empty where it does not say."""

    order: str
    customer: str
    postal_code: str


def find_order(question: str, customer: str, postal_code: str) -> OrderQuery:
    """The order number in the question; customer and postal code as given beside it, else as the question says."""
    number = ORDER.search(question)
    rest = ORDER.sub(" ", question)
    named, code = CUSTOMER.search(rest), POSTAL_CODE.search(rest)
    return OrderQuery(
        order="#" + number[0].lstrip("#").upper() if number else "",
        customer=customer or (named[0] if named else ""),
        postal_code=postal_code or (code[0] if code else ""),
    )


class Orders:
    """The order table."""

    def __init__(self, orders: Mapping[str, Order]) -> None:
        self._orders = orders

    def look_up(self, wanted: OrderQuery) -> tuple[str, ...] | None:
        """The order's facts for its own customer; None for everyone else, whether there is such an order or not."""
        order = self._orders.get(wanted.order)
        if order is None or not wanted.customer or not wanted.postal_code:
            return None
        own = [same(wanted.customer, order.customer), same(wanted.postal_code, order.postal_code)]
        return order.facts if all(own) else None


def same(one: str, other: str) -> bool:
    """Equality that takes as long for any difference."""
    return hmac.compare_digest(one.encode(), other.encode())


def read(content: bytes) -> Orders:
    """The table of a JSON file: order number -> customer, postal_code, facts. Raises msgspec.MsgspecError."""
    return Orders(msgspec.json.decode(content, type=dict[str, Order]))


def as_json(orders: Mapping[str, Any]) -> bytes:
    """The file that `read` reads."""
    return msgspec.json.encode(orders, order="deterministic")
