"""The record as one HTML file that needs nothing else: metric against latency and size, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from cli.record.points import Shown, cells, difference, headings, points
from cli.record.scatter import Dot, scatter

STATES = {
    "reference": "as trained",
    "chosen": "chosen",
    "front": "on the Pareto front",
    "kept": "kept",
    "allowed": "within the gate",
    "dropped": "dropped",
    "refused": "refused",
}
STYLE = """
:root { --ink: #1c2430; --soft: #5d6878; --line: #e3e7ed; --paper: #fff; --card: #f7f8fa; --accent: #0b6e4f;
        --front: #2f6fbb; --plain: #9aa5b4; --bad: #c2452d; --trained: #1c2430; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf2; --soft: #9aa5b4; --line: #303947; --paper: #151a21; --card: #1c232c; --accent: #3fbf91;
          --front: #6ba6ec; --plain: #77828f; --bad: #ee7a63; --trained: #e8ecf2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 32px 28px 48px; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 0 0 6px; }
p { margin: 0 0 12px; } .soft { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px;
  flex: 1 1 170px; }
.tile b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 18px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 14px 14px 6px; }
svg { width: 100%; height: auto; display: block; }
.plot text { font-family: inherit !important; }
.mark { width: 24px; height: 24px; display: inline-block; vertical-align: middle; margin-right: 4px; }
.mark .dot { fill: var(--plain); stroke: var(--paper); stroke-width: 1.5; }
.mark .front, .mark .kept { fill: var(--front); } .mark .chosen { fill: var(--accent); }
.mark .refused, .mark .dropped { fill: var(--paper); stroke: var(--bad); stroke-width: 2; }
.mark .reference { fill: var(--trained); } .mark .ring { fill: none; stroke: var(--accent); stroke-width: 2.5; }
.key { display: flex; flex-wrap: wrap; gap: 6px 20px; margin: 14px 0 26px; color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 8px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 13px; } .text { text-align: left; }
td.name { white-space: normal; min-width: 250px; } tbody td.text:first-child { white-space: nowrap; }
small { display: block; color: var(--soft); font-size: 12.5px; font-weight: 400; }
tr.chosen td { background: color-mix(in srgb, var(--accent) 12%, transparent); font-weight: 600; }
tr.refused td, tr.dropped td { color: var(--soft); }
footer { margin-top: 22px; color: var(--soft); font-size: 13px; }
"""


def report(record: Mapping[str, Any]) -> str:
    """The whole page."""
    data, metric = points(record), record["metric"]
    up = metric["name"] + ("" if metric["higher_is_better"] else " (lower is better)")
    plots = [
        ("Latency", plot(data, "p50_ms", "one request, p50 in ms (further left is better)", up)),
        ("Size", plot(data, "size_mb", "model files in MB (further left is better)", up)),
    ]
    figures = "".join(f"<figure><h2>{title}</h2>{drawn}</figure>" for title, drawn in plots)
    title = f"{record['usecase']}: what each combination of passes costs and gives"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>
<h1>{escape(title)}</h1>
<p class="soft">{escape(metric["name"])} on {metric["requests"]:,} held-out requests;
bars: 95 % interval of the difference to the model as trained. Measured on {escape(record["chosen"]["hardware"])}.</p>
{tiles(record)}<div class="plots">{figures}</div>{key(data)}{table(record, data)}
<footer>{footer(record)}</footer>
</main></body></html>
"""


def plot(data: Sequence[Shown], across: str, words: str, up: str) -> str:
    """One figure of every measured combination against the metric."""
    dots = [
        Dot(
            str(one.number),
            f"{one.number}: {one.name} ({STATES[one.state]})",
            one.state,
            x,
            y,
            one.low,
            one.high,
        )
        for one in data
        if (x := one.figure(across)) is not None and (y := one.figure("metric")) is not None
    ]
    return scatter(dots, words, up)


def tiles(record: Mapping[str, Any]) -> str:
    """The choice against the model as trained, in four figures."""
    before, after, metric = record["reference"], record["chosen"], record["metric"]
    shown = [
        (f"{after['rows_per_cpu_s'] / before['rows_per_cpu_s']:.2f}x", "rows per CPU-second in full batches"),
        (f"{before['p50_ms'] / after['p50_ms']:.2f}x", f"faster on one request ({after['p50_ms']:.3f} ms)"),
        (f"{after['size_mb'] / before['size_mb']:.2f}x", f"the size ({after['size_mb']:.3g} MB)"),
        (f"{after['metric'] - before['metric']:+.4f}", f"{metric['name']} (now {after['metric']:.4f})"),
    ]
    inside = "".join(f'<div class="tile"><b>{value}</b>{escape(words)}</div>' for value, words in shown)
    return f'<div class="tiles">{inside}</div>'


def key(data: Sequence[Shown]) -> str:
    """What the dots mean, for the states that occur."""
    found = [state for state in STATES if any(one.state == state for one in data)]
    return (
        f'<div class="key">{"".join(f"<span>{mark(state)}{STATES[state]}</span>" for state in found)}</div>'
    )


def mark(state: str) -> str:
    """A dot as in the plots."""
    ring = '<circle class="ring" cx="13" cy="13" r="10"/>' if state == "chosen" else ""
    dot = f'{ring}<circle class="dot {state}" cx="13" cy="13" r="6"/>'
    return f'<svg class="mark" viewBox="0 0 26 26" aria-hidden="true">{dot}</svg>'


def table(record: Mapping[str, Any], data: Sequence[Shown]) -> str:
    """Every combination, measured or not."""
    head = '<th class="text">#</th><th class="text">combination</th>'
    head += "".join(f"<th>{escape(word)}</th>" for word in [*headings(record), "difference"])
    rows = []
    for one in data:
        why = one.reason if one.state == "reference" else f"{STATES[one.state]}: {one.reason}"
        row = f'<td class="text">{mark(one.state)}{one.number}</td>'
        row += f'<td class="text name">{escape(one.name)}<small>{escape(why)}</small></td>'
        row += "".join(f"<td>{escape(word)}</td>" for word in [*cells(one), difference(one, record)])
        rows.append(f'<tr class="{one.state}">{row}</tr>')
    body = "\n".join(rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def footer(record: Mapping[str, Any]) -> str:
    """How the figures were come by."""
    words = [
        "p50, p99: wall time in the quietest turn.",
        "Peak: a fresh process that loads and answers one batch.",
    ]
    if (cost := record.get("cost")) and cost["usd_hour"] is not None:
        words.append(
            f"$ / million: one thread at work on {cost['instance']} at ${cost['usd_hour']:.4g} an hour."
        )
    if search := record.get("search"):
        words.append(
            f"Searched {search['spent_s']:.0f} of {search['budget_s']:.0f} s for {search['objective']}"
            + ("." if search["complete"] else "; the budget ended it.")
            + " Factors like 1.3x are against what is needed to serve (1)."
        )
    return escape(" ".join(words))
