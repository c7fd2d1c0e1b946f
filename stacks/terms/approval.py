"""Approval by somebody else, where no pipeline asks for it: a release is made and verified, has no traffic, and waits.

The question and its answer are one record beside the ledger, `approvals/N.json`, written with compare-and-set: whoever
may write there may answer, from any machine, without the lease, which `up` holds while it waits. `up` writes the answer
into the ledger, with who and why. A run that is killed while it waits leaves the question; the next one finds the
answer, or goes on waiting until the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from modelpack.errors import BadInput, EcomdeployError, NotApproved, Unhealthy
from stacks.records.ledger import Ledger
from stacks.records.release import Release, State
from stacks.run import Outputs, Run
from stacks.steps import tidy_up
from stacks.verify import check_answers

LOOK_EVERY = 3.0
"""Seconds between two looks for an answer."""
MINUTES = 60
"""How long it is waited where nobody says how long."""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Who asked and until when the answer counts (ISO 8601, UTC); and the answer: None while there is none, and no by
    nobody (`by` is "") once that time is over."""

    asked_by: str
    until: str
    approved: bool | None = None
    by: str = ""
    why: str = ""
    at: str = ""

    @property
    def is_over(self) -> bool:
        """Nobody has answered in time."""
        return self.approved is False and not self.by

    @property
    def words(self) -> str:
        """The answer, for the ledger."""
        verb = "approved" if self.approved else "refused"
        return f"{verb} by {self.by} at {self.at}{f': {self.why}' if self.why else ''}"


def read_approval(ledger: Ledger, number: int) -> Approval | None:
    """Raises EcomdeployError: the record does not read."""
    record = ledger.store.read(name_of(number))
    try:
        return msgspec.json.decode(record, type=Approval) if record else None
    except msgspec.MsgspecError as error:
        what = f"{ledger.store.place(name_of(number))} does not read: {error}"
        raise EcomdeployError(
            what, hint="remove it, and ask again: ecomdeploy up --await-approval"
        ) from error


def answer(ledger: Ledger, number: int, who: str, *, approved: bool, why: str) -> Approval:
    """Say yes or no to a release that waits. The first answer counts.

    Raises:
        BadInput: it does not wait, has its answer, or its time is over.
    """
    release, asked = ledger.find(number), read_approval(ledger, number)
    if release.state is not State.AWAITING or asked is None:
        what = f"release {number} does not wait for approval: it is {release.state}"
        raise BadInput(what, hint="ecomdeploy releases")
    if asked.approved is not None:
        raise BadInput(f"release {number} has its answer: {asked.words}", hint="ecomdeploy releases")
    if ledger.clock() > datetime.fromisoformat(asked.until):
        what = f"release {number} waited until {asked.until}, and that is over"
        raise BadInput(what, hint="ecomdeploy up --await-approval asks anew")
    given = replace(asked, approved=approved, by=who, why=why, at=ledger.now())
    if not write(ledger, number, given, was=asked):
        raise BadInput(f"somebody else has answered for release {number}", hint="ecomdeploy releases")
    return given


def must_wait(run: Run, release: Release, wanted: bool) -> bool:
    """Whether it is asked for, now or by an earlier run that did not end it, and not given yet, or not told."""
    asked = read_approval(run.deps.ledger, release.number)
    if asked is None:
        return wanted
    return not asked.approved or asked.words not in (each.cause for each in release.timeline)


def await_approval(run: Run, release: Release, minutes: float, service: Outputs | None = None) -> None:
    """Until somebody says yes. `service`: where it is made already; it is verified first as far as that can be done
    without traffic, and taken away again where the answer is no.

    Raises:
        NotApproved: refused, or nobody answered in time. It has no traffic.
        Unhealthy: it cannot take traffic; nobody is asked.
    """
    ledger, live = run.deps.ledger, run.deps.ledger.live()
    try:
        if service is not None:
            verify_dark(run, release, service)
        given = wait(run, release, ask(run, release, minutes))
        if given.approved:
            ledger.record(release.number, State.PROVISIONED, given.words)
            run.deps.progress.note(f"release {release.number} was {given.words}")
            return
        state, what, hint = State.REFUSED, given.words, "ecomdeploy releases"
        if given.is_over:
            state, what = State.INTERRUPTED, f"approved by nobody until {given.until}"
            hint = "ecomdeploy up --await-approval asks anew"
        ledger.record(release.number, state, what)
        raise NotApproved(f"release {release.number} was {what}; it has no traffic", hint=hint)
    except (NotApproved, Unhealthy):
        if service is not None and live is not None:
            tidy_up(run, service, live)
        raise


def verify_dark(run: Run, release: Release, service: Outputs) -> None:
    """What can be asked of it before it has traffic: all that it needs is there, and where the place runs it already,
    golden requests.

    Raises:
        Unhealthy: it is not as it should be; it is marked failed.
    """
    traffic, progress, revision = run.deps.traffic, run.deps.progress, service["revisions"][release.key]
    deadline = run.wanted.spec.rollout.deadline_minutes * 60
    wrong = tuple(traffic.obstacles(revision))
    if not wrong and traffic.prepare(service["endpoint"], revision, progress, deadline):
        wrong = check_answers(traffic, service["endpoint"], release, revision)
    if wrong:
        run.deps.ledger.fail(release.number, "; ".join(wrong))
        raise Unhealthy(
            f"release {release.number} did not verify: {'; '.join(wrong)}", hint="ecomdeploy releases"
        )


def ask(run: Run, release: Release, minutes: float) -> Approval:
    """The question: of an earlier run, or a new one; said aloud, and in the ledger."""
    ledger, number = run.deps.ledger, release.number
    asked = read_approval(ledger, number)
    if asked is None:
        until = (ledger.clock() + timedelta(minutes=minutes)).isoformat(timespec="seconds")
        asked = Approval(asked_by=run.deps.who, until=until)
        write(ledger, number, asked, was=None)
    if asked.approved is None:
        ledger.record(number, State.AWAITING, f"until {asked.until}, asked by {asked.asked_by}")
        run.deps.progress.step(
            f"Waiting until {asked.until} for approval of release {number}, which has no traffic"
        )
        name = run.wanted.spec.environment.name
        command = f"ecomdeploy approve {number}{'' if name == 'local' else f' -e {name}'}"
        place = ledger.store.place(name_of(number))
        run.deps.progress.note(f"whoever may write {place} may approve: {command} --why REASON (or --refuse)")
    return asked


def wait(run: Run, release: Release, asked: Approval) -> Approval:
    """The answer; once its time is over, that, unless somebody was faster."""
    ledger, number = run.deps.ledger, release.number
    while asked.approved is None:
        if ledger.clock() > datetime.fromisoformat(asked.until):
            write(ledger, number, replace(asked, approved=False), was=asked)
        else:
            run.deps.sleep(LOOK_EVERY)
        asked = read_approval(ledger, number) or asked
    return asked


def write(ledger: Ledger, number: int, record: Approval, was: Approval | None) -> bool:
    before = msgspec.json.encode(was, order="sorted") if was else None
    return ledger.store.write(name_of(number), msgspec.json.encode(record, order="sorted"), was=before)


def name_of(number: int) -> str:
    """In the record store."""
    return f"approvals/{number}.json"
