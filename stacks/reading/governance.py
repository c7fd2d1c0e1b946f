"""Rules of what an account asks of everything that is made in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.reading.document import Value, items

TAG, MOST_TAGS = re.compile(r"[\w\s+\-=.:/@]{1,256}"), 40
POLICY_ARN = re.compile(r"arn:aws[a-z-]{0,20}:iam::(\d{12}|aws):policy/[\w+=,.@/-]{1,512}")
EXAMPLE_POLICY = "like arn:aws:iam::123456789012:policy/boundary"


REPOSITORY = re.compile(r"[\w.-]{1,100}(/[\w.-]{1,100}){1,20}")
HOST = re.compile(r"github|gitlab|[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,10}")
ADDRESS = re.compile(r"[^@\s]{1,64}@[\w-]{1,63}(\.[\w-]{1,63}){1,10}")
TOPIC = re.compile(r"arn:aws[a-z-]{0,20}:sns:[a-z0-9-]{1,30}:\d{12}:[\w.-]{1,256}")
WORD = re.compile(r"[\w./ -]{1,255}")


def governance(document: Value) -> Iterator[tuple[Value, str, str]]:
    """Tags as every service takes them (docs.aws.amazon.com/general/latest/gr/aws_tagging.html); our prefix is ours."""
    given = document.at("governance", "tags")
    tags = given.data if given and isinstance(given.data, dict) else {}
    if given and len(tags) > MOST_TAGS:
        yield (
            given,
            f"AWS takes 50 tags on a resource, and ours are there too: here are {len(tags)}",
            f"at most {MOST_TAGS}",
        )
    for key, value in tags.items():
        if key.lower().startswith(("aws:", "ecomdeploy:")) or not TAG.fullmatch(key) or len(key) > 128:
            yield (
                value,
                f"{key!r} is no key for a tag of yours",
                "letters, digits, spaces and + - = . _ : / @",
            )
        word = value.data if isinstance(value.data, str) else None
        if word is not None and (not TAG.fullmatch(word or "x") or len(word) > 256):
            yield value, f"{word[:40]!r} is no value for a tag", "letters, digits, spaces and + - = . _ : / @"
    boundary = document.at("governance", "permissions_boundary")
    if boundary and isinstance(boundary.data, str) and not POLICY_ARN.fullmatch(boundary.data):
        yield (
            boundary,
            f"expected the ARN of a managed policy, got {boundary.data[:80]!r}",
            EXAMPLE_POLICY,
        )
    yield from pipeline(document)
    yield from budget(document)


def pipeline(document: Value) -> Iterator[tuple[Value, str, str]]:
    """Each names one, so that nobody else's token fits."""

    def find_word(key: str) -> tuple[Value | None, str]:
        at = document.at("governance", "pipeline", key)
        return at, at.data if at and isinstance(at.data, str) else ""

    forms = {"repository": (REPOSITORY, "ORG/REPO"), "issuer": (HOST, "github, gitlab, or a host")}
    forms |= dict.fromkeys(("branch", "environment"), (WORD, "a name"))
    for key, (form, words) in forms.items():
        at, word = find_word(key)
        if at and word and not form.fullmatch(word):
            yield at, f"expected {words}, got {word[:80]!r}", ""
    at, environment = find_word("environment")
    if at and environment and find_word("issuer")[1] != "github":
        yield at, "only a token of GitHub names one", "protect the branch"


def budget(document: Value) -> Iterator[tuple[Value, str, str]]:
    """Somebody is told, and can be."""
    at = document.at("governance", "monthly_budget")
    if at is None or not isinstance(at.data, dict):
        return
    forms = {"emails": (ADDRESS, "an address"), "topics": (TOPIC, "the ARN of a topic")}
    told = [(key, one) for key in forms for one in items(at.at(key))]
    if not told:
        yield at, "nobody is told", "emails: [you@your.shop], or topics: [the ARN of a topic of SNS]"
    for key, one in told:
        form, words = forms[key]
        if isinstance(one.data, str) and not form.fullmatch(one.data):
            yield one, f"expected {words}, got {one.data[:80]!r}", ""
