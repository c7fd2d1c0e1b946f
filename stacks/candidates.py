"""Which release is to serve: a new one of the pack in hand, or one of before; and when neither may."""

from __future__ import annotations

import hashlib
import json

import msgspec

from modelpack.errors import BadInput
from stacks.hardware import find_shortcomings
from stacks.records.ledger import Ledger
from stacks.records.release import Packed, Release, State
from stacks.run import Run
from stacks.spec import Spec
from stacks.wanted import Wanted


def refuse_marked(run: Run, pack: Packed, again: bool) -> None:
    """A pack that failed or was rolled back, as it is to be served, is not shipped again by accident.

    Raises:
        BadInput: it is marked, it does not serve now, and `again` was not asked for.
    """
    marked = run.deps.ledger.find_mark(pack.digest, run.wanted.serving)
    if marked and not again and not serves_already(run, pack):
        what = f"this very pack was release {marked.number}, and it {describe_end(marked)}"
        raise BadInput(what, hint="change the spec, or ship it nevertheless: ecomdeploy up --again")


def type_up(ledger: Ledger) -> str:
    """What brings a service back that was taken down: the pack that was asked for last may be marked."""
    asked = next((each for each in reversed(ledger.releases()) if each.restores is None), None)
    marked = asked is not None and ledger.find_mark(asked.pack.digest, asked.serving) is not None
    return "ecomdeploy up --again" if marked else "ecomdeploy up"


def serves_already(run: Run, pack: Packed) -> bool:
    """Whether this very pack is live, served as it is wanted: then traffic has nowhere to go."""
    live = run.deps.ledger.live()
    return live is not None and live.pack.digest == pack.digest and live.serving == run.wanted.serving


def make_candidate(wanted: Wanted, pack: Packed, repository: str, who: str) -> Release:
    """The release that this pack would be; it gets its number when it is begun."""
    spec = wanted.spec
    return Release(
        number=0,
        service=spec.service,
        environment=spec.environment.name,
        pack=pack,
        image=f"{repository}@{pack.digest}",
        serving=wanted.serving,
        policy=wanted.policy,
        replicas=max(1, spec.scale.min),
        who=who,
        spec_digest=digest_spec(spec),
    )


def digest_spec(spec: Spec) -> str:
    """sha256 of all that the spec says for one environment; values of secrets are not in it."""
    content = json.dumps(msgspec.to_builtins(spec), sort_keys=True, separators=(",", ":"), default=str)
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def restore(target: Release, wanted: Wanted, who: str, why: str) -> Release:
    """Pack and serving configuration of then, scale and alarms of today."""
    return Release(
        number=0,
        service=target.service,
        environment=target.environment,
        pack=target.pack,
        image=target.image,
        serving=target.serving,
        policy=wanted.policy,
        restores=target.number,
        who=who,
        why=why,
        spec_digest=digest_spec(wanted.spec),
    )


def find_target(run: Run, number: int | None) -> Release:
    """The release to go back to, if that can be.

    Raises:
        BadInput: it cannot, and why.
    """
    live = run.deps.ledger.live()
    if live is None:
        raise BadInput("nothing is live, so there is nothing to roll back", hint="ecomdeploy up")
    target = run.deps.ledger.find(number) if number is not None else run.deps.ledger.previous()
    if target.key == live.key:
        what = f"release {target.number} is what serves now (release {live.number})"
        raise BadInput(what, hint="ecomdeploy releases")
    if all(each.state is not State.LIVE for each in target.timeline):
        what = f"release {target.number} never was live (it {describe_end(target)})"
        raise BadInput(what, hint="ecomdeploy releases")
    if target.serving.target != run.wanted.serving.target:
        then, now = target.serving.target, run.wanted.serving.target
        what = f"release {target.number} was on {then}, and the spec says {now}"
        raise BadInput(what, hint=f"set serve.target: {then} first")
    if problems := find_shortcomings(target.pack, target.serving, run.wanted.hosts):
        what = f"release {target.number} cannot be put back on {target.serving.instance}"
        raise BadInput(f"{what}: {'; '.join(each.what for each in problems)}", hint="ecomdeploy releases")
    return target


def describe_end(release: Release) -> str:
    """How it ended, in words: "failed: golden request 1 ...", of several causes the first."""
    end = release.end
    if end is None:
        return "was begun"
    words = {State.ROLLED_BACK: "was rolled back", State.FAILED: "failed"}.get(end.state, f"was {end.state}")
    return f"{words}: {end.cause.partition('; ')[0]}" if end.cause else words


def must_train_elsewhere(run: Run) -> bool:
    """Whether a job is to train the model, as far as can be told before it is packed."""
    return run.wanted.trains_elsewhere and run.deps.builder.find(run.wanted) is None
