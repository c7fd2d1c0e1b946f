"""One release as an HTML page that needs nothing else: who and why, how traffic moved, and why it ended."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from cli.record.facts import list_facts
from cli.record.report import STYLE
from cli.record.timeline_plot import timeline
from stacks.history.read import ReleaseStory
from stacks.rollout.events import EventKind, RolloutEvent, RolloutRecord

MORE = """
:root { --old: #0072b2; --new: #c04a00; }
@media (prefers-color-scheme: dark) { :root { --old: #56b4e9; --new: #ff9147; } }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 16px 0 22px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
td.text, th.text { white-space: normal; } td.when { white-space: nowrap; text-align: left; }
tr.alarm td, tr.back td { color: var(--bad); font-weight: 600; }
h2 { margin-top: 24px; }
"""


def release_page(story: ReleaseStory) -> str:
    """The whole page."""
    release, record = story.release, story.rollout
    title = f"{release.service} in {release.environment}: release {release.number}, {release.state}"
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in list_facts(story))
    alarms = release.policy.rollout.get("alarms") or {}
    limits = {name: float(alarms[name]) for name in ("error_rate", "p99_ms") if alarms.get(name)}
    moved = ""
    if record and record.events:
        watched = limits if any(one.alarms for one in record.events) else {}
        moved = f"<figure>{timeline(record, watched)}</figure>{table(record)}"
    else:
        moved = '<p class="soft">How its traffic moved was not recorded.</p>'
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>{STYLE}{MORE}</style></head><body><main>
<h1>{escape(title)}</h1>
<dl>{facts}</dl><h2>How traffic moved</h2>{moved}
<footer>Times are UTC. Requests, failures and p99 are the place's own figures of each release by period; the newest
period or two may not have been counted yet when the rollout ended.</footer>
</main></body></html>
"""


def table(record: RolloutRecord) -> str:
    """Every event, with the figures of both releases at that time."""
    releases = [number for number in (record.replaced, record.release) if number is not None]
    head = '<th class="text">when</th><th class="text">what was seen</th><th>share</th>' + "".join(
        f"<th>release {number}: requests</th><th>failed</th><th>p99 ms</th>" for number in releases
    )
    rows = "\n".join(row(one, record.replaced is not None) for one in record.events)
    inner = f"<thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody>"
    return f'<h2>What was seen</h2><div class="wide"><table>{inner}</table></div>'


def row(event: RolloutEvent, both: bool) -> str:
    figures = (event.old, event.new) if both else (event.new,)
    kind = str(event.kind if event.kind in (EventKind.ALARM, EventKind.BACK) else "")
    cells = "".join(f"<td>{escape(one)}</td>" for one in cells_of(figures))
    what = (
        f'<td class="when">{event.at[:10]} {event.at[11:19]}</td><td class="text">{escape(event.words)}</td>'
    )
    return f'<tr class="{kind}">{what}<td>{event.share} %</td>{cells}</tr>'


def cells_of(figures: tuple[object, ...]) -> Iterator[str]:
    from cli.record.live import figures_of

    for one in figures:
        yield from figures_of(one)
