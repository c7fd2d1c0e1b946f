"""Questions with the answers they want, and questions that a shop must refuse.

The questions are made from templates, because no package carries real ones: they measure whether the model words the
facts it is given without changing them, not whether it understands people. A look-up by the same templates would
answer all. There are three parts: calibration, development (what was held out before sentences were chosen by the
model, and looked at while that was built) and held out. Customers, orders, products and wordings of one part are in
no other; the policy is one text, so there only the wording differs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelpack.usecases.chat.shop import Tables, describe, total
from modelpack.usecases.chat.wordings import ELSEWHERE, ON_ORDERS, ON_POLICY, ON_PRODUCTS

CALIBRATION, DEVELOPMENT, HELD_OUT = 0, 1, 2
PER_ORDER_KIND, PER_PRODUCT_KIND = 6, 8
STATES = ("pending", "processed", "delivered", "cancelled")
METHODS = ("gift card", "paypal", "credit card")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Question:
    """What is asked by whom; `wanted`: every one must be in a right answer; `wrong`: none may be; `group` names what
    is independent (a customer, a product, a rule)."""

    text: str
    kind: str
    group: str
    wanted: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    customer: str = ""
    postal_code: str = ""

    def right(self, answer: str) -> bool:
        """Whether the answer says what is wanted, and neither a wrong value nor a number that nobody asked about."""
        said = plain(answer)
        numbers = {bare(one) for one in NUMBER.findall(answer)}
        allowed = {bare(one) for text in (self.text, *self.wanted) for one in NUMBER.findall(text)}
        return (
            all(f" {plain(one).strip()} " in said for one in self.wanted)
            and not any(f" {plain(one).strip()} " in said for one in self.wrong)
            and numbers <= allowed
        )


def plain(text: str) -> str:
    """Lower case words and numbers without thousands' marks, with one space around each."""
    return f" {' '.join(re.findall(r'[a-z]+|[0-9]+(?:[.][0-9]+)*', THOUSANDS.sub('', text.lower())))} "


def bare(number: str) -> str:
    """A number without thousands' marks or cents that are none."""
    return number.replace(",", "").removesuffix(".00")


def half(name: str) -> int:
    """Which half a customer or product belongs to: by its name's digest, so that it never moves. Development has the
    first ones of the second half, in order of their digests, and what is held out those after them."""
    return hashlib.sha256(name.encode()).digest()[0] % 2


def wording(wordings: Sequence[str], part: int, place: int) -> str:
    """How a part asks; what is held out has all further wordings in turn."""
    return wordings[part] if part < HELD_OUT else wordings[HELD_OUT:][place % len(wordings[HELD_OUT:])]


def questions(tables: Tables, part: int) -> tuple[Question, ...]:
    """All questions of one part, in scope and with an answer."""
    return (*on_orders(tables, part), *on_products(tables, part), *on_policy(part))


def on_orders(tables: Tables, part: int) -> Iterator[Question]:
    """`PER_ORDER_KIND` orders for every kind, no order and no customer twice."""
    own = {
        order["user_id"]: order
        for order in tables.orders.values()
        if half(order["user_id"]) == min(part, DEVELOPMENT)
    }
    listed = sorted(own.values(), key=lambda order: hashlib.sha256(order["order_id"].encode()).hexdigest())
    first = len(ON_ORDERS) * PER_ORDER_KIND if part == HELD_OUT else 0
    for number, kind in enumerate(sorted(ON_ORDERS)):
        begin = first + number * PER_ORDER_KIND
        for place, order in enumerate(listed[begin : begin + PER_ORDER_KIND]):
            customer = tables.customers[order["user_id"]]
            wanted, others = truth(kind, order, customer)
            yield Question(
                text=wording(ON_ORDERS[kind], part, place).format(order=order["order_id"]),
                kind=f"order {kind}",
                group=order["user_id"],
                wanted=(wanted,),
                wrong=tuple(one for one in others if one != wanted),
                customer=order["user_id"],
                postal_code=customer["address"]["zip"],
            )


def truth(kind: str, order: Mapping[str, Any], customer: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The right value, and values it could be mistaken for."""
    if kind == "status":
        return order["status"], STATES
    if kind == "city":
        return order["address"]["city"], ()
    if kind == "items":
        return str(len(order["items"])), ()
    if kind == "total":
        return f"{total(order):.2f}", ()
    method = customer["payment_methods"][order["payment_history"][0]["payment_method_id"]]["source"]
    return method.replace("_", " "), METHODS


def on_products(tables: Tables, part: int) -> Iterator[Question]:
    """`PER_PRODUCT_KIND` products for every kind; a product may be asked about in several kinds."""
    listed = [one for one in tables.products.values() if half(one["name"]) == min(part, DEVELOPMENT)]
    listed.sort(key=lambda one: hashlib.sha256(one["product_id"].encode()).hexdigest())
    first = PER_PRODUCT_KIND if part == HELD_OUT else 0
    for place, product in enumerate(listed[first : first + PER_PRODUCT_KIND]):
        options = list(product["variants"].values())
        there = [one for one in options if one["available"]]
        option = options[len(options) // 2]
        values = {
            "options": str(len(options)),
            "cheapest": f"{min(one['price'] for one in there):.2f}",
            "price": f"{option['price']:.2f}",
        }
        for kind, wordings in sorted(ON_PRODUCTS.items()):
            text = wording(wordings, part, place).format(product=product["name"], option=describe(option))
            yield Question(text, f"product {kind}", product["name"], (values[kind],))


def on_policy(part: int) -> Iterator[Question]:
    """One question for every rule."""
    for place, (wordings, wanted, wrong) in enumerate(ON_POLICY):
        yield Question(wording(wordings, part, place), "policy", f"rule {place}", wanted, wrong)


def in_scope(tables: Tables, part: int) -> tuple[str, ...]:
    """Texts that must not be refused and name no order: our own questions, and why people call a shop (the
    package's own training and test tasks)."""
    own = tuple(one.text for one in questions(tables, part) if not one.customer)
    calls = tables.calls["retail"]
    if part == CALIBRATION:
        return (*own, *calls["train"])
    return (*own, *(text for text in calls["test"] if text not in set(calls["train"])))


def out_of_scope(tables: Tables, part: int) -> tuple[str, ...]:
    """Texts that must be refused: on anything, and why people call a mobile carrier (calibration) or an airline
    (held out: a domain that nothing was set by)."""
    domain = "telecom" if part == CALIBRATION else "airline"
    return (*ELSEWHERE[min(part, DEVELOPMENT)], *tables.calls[domain]["all"])
