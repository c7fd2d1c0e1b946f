"""Whether each environment's account may have what the spec asks for. Asked where a cloud answers: none is started."""

from __future__ import annotations

from collections.abc import Iterator

from cli.checks.base import CheckContext, Finding
from modelpack.errors import BadInput, EcomdeployError

NAME = "quotas"


def check(context: CheckContext) -> Finding:
    from cli.wiring import SPEC

    file = context.folder / SPEC
    if not file.exists():
        return Finding(NAME, "ok", f"no {file}: nothing to ask for")
    try:
        found = list(ask_all(context))
    except BadInput:
        return Finding(NAME, "ok", f"{file} is not valid: nothing asked")
    short = [(words, remedy) for words, remedy in found if remedy]
    if short:
        return Finding(NAME, "failure", "; ".join(words for words, _ in short), short[0][1])
    said = "; ".join(words for words, _ in found)
    return Finding(NAME, "ok", said or "enough for what the spec asks for, wherever a cloud answers")


def ask_all(context: CheckContext) -> Iterator[tuple[str, str]]:
    """What is short, with its remedy, and what else there is to say, of every environment that can be asked."""
    from cli.quotas import ask_quotas, list_clouds
    from cli.wiring import is_on_cluster, load_spec
    from stacks.quotas import tell_remedy

    for name, cloud in list_clouds(context.folder).items():
        spec = load_spec(context.folder, name)
        if cloud == "cluster":
            continue
        # Asking for a local cluster's variables would start it.
        if cloud == "local" and (is_on_cluster(spec) or not context.local_cloud()):
            continue
        try:
            report = ask_quotas(context.folder, spec)
        except EcomdeployError as error:
            yield f"{name}: not asked: {error}", ""
            continue
        yield from ((f"{name}: {one.describe()}", tell_remedy(spec, one)) for one in report.short)
        yield from ((f"{name}: {note}", "") for note in report.notes)
