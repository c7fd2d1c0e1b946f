"""`ecomdeploy predict`: ask the live endpoint, with a real sample when nothing is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, show, talk, wiring
from cli.samples import find_samples
from modelpack.errors import BadInput, EcomdeployError

if TYPE_CHECKING:
    from stacks.spec import Spec

JSON = "application/json"
MOST_SHOWN, SHOWN_OF_MANY = 20, 5


def predict(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
    request: Annotated[str | None, typer.Option(help="The body to send: JSON, or @file.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="Which of the pack's real samples to send.")] = 1,
    text: Annotated[
        str | None, typer.Option(help="What to ask, for a model that takes text (search, chat).")
    ] = None,
) -> None:
    """Ask the live endpoint; without a request, by a real sample, shown with what is known about it."""
    spec = wiring.load_spec(folder, environment)
    live = wiring.find_release(folder, spec)
    samples = find_samples(spec, live)
    chosen = choose_body(samples, request, text, sample)
    body = chosen["request"]
    if (
        samples.get("streams")
        and not as_json
        and talk.on_a_terminal()
        and len(body.get("instances", ())) == 1
    ):
        show.say(chosen.get("about", ""))
        took = talk.as_it_comes(wiring.traffic(spec), spec.name, body)
        report(live.number, spec, took)
        return
    answer = wiring.traffic(spec).invoke(spec.name, json.dumps(body).encode(), JSON)
    if request is not None and 400 <= answer.status < 500:
        said = answer.body.decode(errors="replace")[:300]
        raise BadInput(
            f"the model takes no such request: {said}", hint="one that it takes: ecomdeploy predict --json"
        )
    if answer.status != 200:
        raise EcomdeployError(
            f"the endpoint answered {answer.status}: {answer.body.decode(errors='replace')[:300]}"
        )
    predictions = json.loads(answer.body)["predictions"]
    if as_json:
        show.document(
            {
                "release": live.number,
                "endpoint": spec.name,
                "content_type": JSON,
                "request": body,
                "predictions": predictions,
                "latency_ms": round(answer.latency_ms, 3),
                "about": chosen.get("about"),
                "before": chosen.get("before", []),
                "names": name_predictions(predictions, samples),
            }
        )
        return
    tell(chosen, predictions, samples)
    report(live.number, spec, answer.latency_ms)


def report(release: int, spec: Spec, milliseconds: float) -> None:
    """Who answered, and what to type next."""
    show.say(f"Answered by release {release} of {spec.name} in {milliseconds:.1f} ms.")
    environment = spec.environment.name
    show.next_step("ecomdeploy predict --sample 2", "another one; or `ecomdeploy status`", environment)


def choose_body(
    samples: Mapping[str, Any], request: str | None, text: str | None, number: int
) -> dict[str, Any]:
    """What to send, with what is known about it: the body given, the text given, or a sample."""
    if request is not None and text is not None:
        raise BadInput("--request and --text exclude each other", hint="--text alone makes the body")
    if request is not None:
        return {"request": parse(request)}
    chosen = choose(samples, number)
    return chosen if text is None else {"request": fill_text(chosen, text), "about": text}


def fill_text(sample: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A body with that text where the sample has the text that it is about. Raises BadInput when it has none."""
    first = sample["request"]["instances"][0]
    texts = {name: value for name, value in first.items() if isinstance(value, str)}
    if not texts:
        raise BadInput(
            "this model takes no text", hint="ecomdeploy predict --request '{\"instances\": [...]}'"
        )
    about = str(sample.get("about", ""))
    name = next((name for name, value in texts.items() if value in about), next(iter(texts)))
    return {"instances": [{name: text}]}


def choose(samples: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The pack's sample number `number`, counted from 1."""
    listed = samples.get("requests", [])
    if not listed:
        raise BadInput(
            "this pack has no samples", hint="ecomdeploy predict --request '{\"instances\": [...]}'"
        )
    if number > len(listed):
        raise BadInput(f"there are {len(listed)} samples, not {number}", hint=f"--sample 1 to {len(listed)}")
    found: dict[str, Any] = listed[number - 1]
    return found


def parse(text: str) -> Any:
    """The request given on the command line."""
    if text.startswith("@"):
        file = Path(text[1:])
        if not file.is_file():
            raise BadInput("there is no such file", where=str(file))
        text = file.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInput(f"the request is not JSON: {error}", hint='{"instances": [{...}]}') from None


def name_predictions(predictions: list[dict[str, Any]], samples: Mapping[str, Any]) -> dict[str, str]:
    """Names of the identifiers that were predicted."""
    names = samples.get("names", {})
    values = {str(one) for row in predictions for value in row.values() for one in as_list(value)}
    return {value: names[value] for value in sorted(values) if value in names}


def tell(chosen: Mapping[str, Any], predictions: list[dict[str, Any]], samples: Mapping[str, Any]) -> None:
    """For a person: who, what before, what now."""
    names = samples.get("names", {})
    if chosen.get("about"):
        show.say(f"{chosen['about']}")
    if samples.get("streams"):
        talk.whole(predictions)
        return
    if chosen.get("before"):
        show.say("  before: " + "; ".join(" ".join(name.split()) for name in chosen["before"]))
    for row in predictions:
        columns = {key: as_list(value) for key, value in row.items()}
        if len(columns) == 1 and len(next(iter(columns.values()))) > MOST_SHOWN:
            tell_best(next(iter(columns.items())), names)
            continue
        ranks = range(max(map(len, columns.values()), default=0))
        for rank in ranks:
            cells = [cell(values[rank], names) for values in columns.values() if rank < len(values)]
            show.say(f"  {rank + 1:>3}.  {'   '.join(cells)}")


def tell_best(scores: tuple[str, list[Any]], names: Mapping[str, str]) -> None:
    """A score for each of many: the highest, by their places."""
    name, values = scores
    best = sorted(range(len(values)), key=lambda place: -values[place])[:SHOWN_OF_MANY]
    for rank, place in enumerate(best):
        show.say(f"  {rank + 1:>3}.  {cell(values[place], {})}   {cell(place, names)}")
    show.say(f"        the highest of {len(values):,} in {name}; --json shows all")


def cell(value: Any, names: Mapping[str, str]) -> str:
    """A number short, an identifier with its name."""
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{names[str(value)]} ({value})" if str(value) in names else str(value)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
