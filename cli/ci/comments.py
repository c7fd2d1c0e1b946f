"""A plan as a comment on a pull or merge request: one comment a service, updated, not repeated.

GitHub: docs.github.com/en/rest/issues/comments. GitLab: docs.gitlab.com/api/notes. Which one, and where, is read from
the variables that their runners set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.words import changes_in_words
from modelpack.errors import BadInput, CloudRefused, EcomdeployError
from stacks.pulumi_driver.driver import Change

if TYPE_CHECKING:
    import httpx

MOST_ROWS = 60
PAGE = 100
GITHUB_REF = re.compile(r"refs/pull/(\d+)/merge")


def describe(plans: Sequence[Mapping[str, Any]]) -> str:
    """Plans of `plan --out` as Markdown; the first line says whose comment it is, unseen by readers."""
    service = plans[0]["service"]
    return "\n".join([mark(service), f"### {service}", "", *(line for one in plans for line in section(one))])


def mark(service: str) -> str:
    return f"<!-- ecomdeploy plan of {service} -->"


def section(plan: Mapping[str, Any]) -> list[str]:
    """One environment's plan."""
    changes = [
        Change(one["urn"], one["op"], tuple(one["keys"]), tuple(one["replaces"])) for one in plan["changes"]
    ]
    live, release = plan["live"], plan["release"]
    moves = f"release {release} takes over from {live}" if live else f"release {release} is the first"
    lines = [
        f"**{plan['environment']}**: {moves if release else f'release {live} stays'}; "
        f"{changes_in_words(changes) if changes else 'no resource changes'}",
        "",
        *(f"- {cell(note)}" for note in plan["notes"]),
        f"- pack `{plan['pack']}`",
        "",
    ]
    if not changes:
        return lines
    rows = [
        f"| {one.op} | `{cell(one.type)}` | `{cell(one.name)}` | {cell(', '.join(one.replaces or one.keys))} |"
        for one in changes[:MOST_ROWS]
    ]
    more = [f"| … | {len(changes) - MOST_ROWS} more | | |"] if len(changes) > MOST_ROWS else []
    return [*lines, "| change | type | name | what differs |", "|---|---|---|---|", *rows, *more, ""]


def cell(text: str) -> str:
    """Text that stays inside a table's cell."""
    return " ".join(str(text).replace("|", "\\|").replace("`", "'").split())


@dataclass(frozen=True, kw_only=True)
class Discussion:
    """Where comments are: `comments` lists and takes them, `comment` and an id is one. `headers`: the token."""

    comments: str
    comment: str
    method: str
    headers: Mapping[str, str]


def find_discussion(variables: Mapping[str, str]) -> Discussion:
    """The pull or merge request that this pipeline runs for.

    Raises:
        BadInput: it runs for none, or has no token.
    """
    pull = GITHUB_REF.fullmatch(variables.get("GITHUB_REF", ""))
    if pull:
        base = f"{variables['GITHUB_API_URL']}/repos/{variables['GITHUB_REPOSITORY']}/issues"
        token = {"Authorization": f"Bearer {need(variables, 'GITHUB_TOKEN')}"}
        return Discussion(
            comments=f"{base}/{pull[1]}/comments", comment=f"{base}/comments", method="PATCH", headers=token
        )
    if number := variables.get("CI_MERGE_REQUEST_IID"):
        base = f"{variables['CI_API_V4_URL']}/projects/{variables['CI_PROJECT_ID']}/merge_requests/{number}/notes"
        token = {"PRIVATE-TOKEN": need(variables, "ECOMDEPLOY_COMMENT_TOKEN")}
        return Discussion(comments=base, comment=base, method="PUT", headers=token)
    raise BadInput(
        "this is no pipeline of a pull or merge request", hint="without --post the comment is printed"
    )


def need(variables: Mapping[str, str], name: str) -> str:
    if not variables.get(name):
        raise BadInput(f"the variable {name} is not set", hint="docs/ci.md says which token it holds")
    return variables[name]


def post(client: httpx.Client, place: Discussion, text: str) -> str:
    """Update our comment, or write the first; returns its id.

    Raises:
        CloudRefused: the token may not.
        EcomdeployError: anything else that the server said.
    """
    first, page = text.partition("\n")[0], 1
    while listed := ask(client, place, "GET", f"{place.comments}?per_page={PAGE}&page={page}"):
        for one in listed:
            if str(one["body"]).startswith(first):
                changed = ask(client, place, place.method, f"{place.comment}/{one['id']}", text)
                return str(changed["id"])
        page += 1
    return str(ask(client, place, "POST", place.comments, text)["id"])


def ask(client: httpx.Client, place: Discussion, method: str, url: str, text: str | None = None) -> Any:
    import httpx

    body = None if text is None else json.dumps({"body": text}).encode()
    headers = {**place.headers, "Content-Type": "application/json"}
    try:
        answer = client.request(method, url, content=body, headers=headers)
    except httpx.TransportError as error:
        raise EcomdeployError(f"{url}: {error}") from error
    if answer.status_code in (401, 403, 404):
        raise CloudRefused(
            f"{method} {url}: {answer.status_code}", hint="the token must be allowed to write comments"
        )
    if not answer.is_success:
        raise EcomdeployError(f"{method} {url}: {answer.status_code} {answer.text[:200]}")
    return answer.json()
