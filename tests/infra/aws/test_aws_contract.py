"""What every row of the AWS table promises, over one sample of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from aws_samples_platform import PLATFORM
from aws_samples_serving import SERVICE
from aws_world import World, who

from infra.rehearsal.engine.provider import UNKNOWN, CreateResponse, KnownResource, ReadResponse, Values
from infra.rehearsal.providers.aws.naming import DEFAULTS
from infra.rehearsal.providers.aws.provider import AwsProvider
from infra.rehearsal.providers.aws.table import TypeTable

SAMPLES = {**SERVICE, **PLATFORM}
pytestmark = pytest.mark.filterwarnings("ignore")
every = pytest.mark.parametrize("name", SAMPLES)


@pytest.fixture
def world(provider: AwsProvider) -> World:
    return World(provider, SAMPLES)


def foretold(preview: Values, real: Values) -> None:
    """What a preview said it knows came true, and it forgot nothing."""
    for key, value in preview.items():
        assert value is UNKNOWN or real.get(key) == value or isinstance(value, dict | list), key
    assert {key for key, value in real.items() if value not in (None, "", [], {}, False)} <= set(preview)


def test_every_row_has_a_sample(table: TypeTable) -> None:
    assert {sample.type for sample in SAMPLES.values()} == set(table.resources)


@dataclass
class Life:
    """One resource from its preview to its end, a promise at a time."""

    world: World
    name: str

    def __post_init__(self) -> None:
        self.sample = SAMPLES[self.name]
        self.provider = self.world.provider
        self.row = self.provider.table.resources[self.sample.type]

    def known(self, made: CreateResponse | ReadResponse, inputs: Values) -> KnownResource:
        return KnownResource(self.sample.type, made.id, inputs, made.outputs)

    def same(self, made: CreateResponse, inputs: Values) -> None:
        """A refresh after it, and another `up`, find nothing to do."""
        found = self.provider.read(self.known(made, inputs))
        assert found is not None
        assert found.inputs == inputs
        assert found.outputs == made.outputs
        assert self.provider.diff(self.known(found, found.inputs), inputs).changed == ()

    def create(self) -> tuple[CreateResponse, Values]:
        inputs = self.world.checked(self.name)
        preview = self.provider.create(self.sample.type, who(self.name), inputs, preview=True)
        made = self.world[self.name]
        assert preview.id == ""
        foretold(preview.outputs, made.outputs)
        assert set(self.row.outputs) <= set(made.outputs)
        self.same(made, inputs)
        return made, inputs

    def adopt(self, made: CreateResponse, inputs: Values) -> None:
        """A run that was killed before it wrote the create down finds its work again, and says so where it had to look
        (a bucket's settings are put again)."""
        again = self.provider.create(self.sample.type, who(self.name), inputs, preview=False)
        assert replace(again, found="") == made
        assert again.found.startswith(made.id) or not (again.found or self.row.tag)

    def change(self, made: CreateResponse, olds: Values, patch: Values) -> tuple[CreateResponse, Values]:
        given = {key: value for key, value in olds.items() if key not in (DEFAULTS, *olds.get(DEFAULTS, ()))}
        news = self.provider.check(
            self.sample.type, who(self.name), olds, {**given, **patch}, fresh_name=False
        ).inputs
        old = self.known(made, olds)
        diff = self.provider.diff(old, news)
        assert (set(diff.changed), diff.replaces) == (set(patch), ())
        preview = self.provider.update(old, news, preview=True)
        changed = CreateResponse(made.id, self.provider.update(old, news, preview=False))
        foretold(preview, changed.outputs)
        self.same(changed, news)
        return changed, news

    def replace(self, made: CreateResponse, inputs: Values) -> None:
        news = {**inputs, **self.sample.replace}
        diff = self.provider.diff(self.known(made, inputs), news)
        assert set(diff.replaces) == set(self.sample.replace)

    def edit(self, made: CreateResponse, inputs: Values) -> CreateResponse:
        """An edit behind our back is seen by a read, named by the diff, and mended by an update."""
        assert self.sample.edit is not None
        self.sample.edit(self.world, self.provider.account.client, made.id)
        found = self.provider.read(self.known(made, inputs))
        assert found is not None
        assert found.inputs.get(self.sample.seen) != inputs.get(self.sample.seen)
        old = self.known(found, found.inputs)
        assert self.sample.seen in self.provider.diff(old, inputs).changed
        mended = CreateResponse(made.id, self.provider.update(old, inputs, preview=False))
        self.same(mended, inputs)
        return mended

    def end(self, made: CreateResponse, inputs: Values) -> None:
        """A delete is seen, and may come twice."""
        for _ in range(2):
            self.provider.delete(self.known(made, inputs))
        if not self.row.lingers:
            assert self.provider.read(self.known(made, inputs)) is None


@every
def test_life(name: str, world: World) -> None:
    life = Life(world, name)
    made, inputs = life.create()
    life.adopt(made, inputs)
    life.replace(made, inputs)
    if life.sample.edit:
        made = life.edit(made, inputs)
    if life.sample.update:
        made, inputs = life.change(made, inputs, life.sample.update(world))
    if life.row.tag:
        made, inputs = life.change(made, inputs, {"tags": {"ecomdeploy:stack": "other", "colour": "red"}})
    life.end(made, inputs)


@every
def test_an_unknown_property_is_refused_by_name(name: str, world: World, provider: AwsProvider) -> None:
    token = SAMPLES[name].type
    checked = provider.check(token, who(name), None, {"flavour": "x"}, fresh_name=False)
    assert "flavour" in {failure.property for failure in checked.failures}
