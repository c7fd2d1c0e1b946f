"""Uplift: Qini by hand and against resampling, no learning from who was mailed, the rule ships where none beats it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import platformdirs
import pytest

from modelpack.digests import sha256_of
from modelpack.formats.variant import TORCH, Variant
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.passes.base import PassContext, passes
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for
from modelpack.runtimes.eager import Eager
from modelpack.usecases.base import beats, usecases
from modelpack.usecases.marketing import MarketingUplift, hillstrom
from modelpack.usecases.marketing.own_uplift import RULE
from modelpack.usecases.marketing.qini import effect, qini
from modelpack.usecases.metrics import bootstrap
from modelpack.usecases.packages import fetch
from modelpack.usecases.tabular.frame import BINARY, Split, join
from modelpack.usecases.tabular.model import predict


def customers(rows: int = 3000, seed: int = 0, gain: float = 0.3) -> pd.DataFrame:
    """Made up: an e-mail makes those visit who bought women's wear, and, by `gain`, the more the fresher they are."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "recency": generator.integers(1, 13, rows),
            "history": generator.gamma(2, 100, rows),
            "mens": generator.integers(0, 2, rows),
            "womens": generator.integers(0, 2, rows),
            "newbie": generator.integers(0, 2, rows),
            "zip_code": generator.choice(list(hillstrom.PLACES.values()), rows),
            "channel": generator.choice(list(hillstrom.CHANNELS.values()), rows),
            "segment": generator.choice([hillstrom.MAILED, hillstrom.LEFT_ALONE], rows),
        }
    )
    moved = 0.15 * table.womens + gain * (table.recency < 4)
    chance = 0.1 + moved * (table.segment == hillstrom.MAILED)
    return table.assign(visit=(generator.random(rows) < chance).astype(int))


def test_qini_of_four_customers_by_hand() -> None:
    """Depths 1/4 ... 1 gain 1/2, 1/2, 1/2, 0: the area is 1/16 + 1/8 + 1/8 + 1/16, and the line ends at 0. From the
    other end they gain 0 (nobody mailed yet), -1/2, -1/4 (two left alone for one mailed), 0."""
    visited, mailed = np.array([1, 0, 0, 1]), np.array([True, False, True, False])
    assert qini(visited, mailed, np.array([4, 3, 2, 1])).mean() == pytest.approx(0.375)
    assert qini(visited, mailed, np.array([1, 2, 3, 4])).mean() == pytest.approx(-0.1875)
    assert qini(visited, mailed, np.zeros(4)).mean() == pytest.approx(0)


def test_qini_of_equal_scores_is_the_straight_line_between_them() -> None:
    """The first two together gain 1/2 at depth 1/2; all gain 0: the area is 1/8 + 1/8."""
    visited, mailed = np.array([1, 0, 0, 1]), np.array([True, False, True, False])
    assert qini(visited, mailed, np.array([2, 2, 1, 1])).mean() == pytest.approx(0.25)


def test_the_interval_is_that_of_resampled_customers() -> None:
    part = hillstrom.part(customers(2000))
    mailed, score = part.more["mailed"], part.inputs["womens"] - part.inputs["recency"]
    generator = np.random.default_rng(1)
    direct = []
    for _ in range(300):
        rows = generator.integers(0, len(part), len(part))
        direct.append(qini(part.target[rows], mailed[rows], score[rows]).mean())
    found = bootstrap(qini(part.target, mailed, score), part.groups)
    assert found.value == pytest.approx(np.mean(direct), abs=0.003)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(direct), rel=0.15)


@pytest.mark.parametrize("everybody", [True, False])
def test_without_a_group_to_compare_there_is_no_qini(everybody: bool) -> None:
    with pytest.raises(ValueError, match="not"):
        qini(np.ones(3), np.full(3, everybody), np.arange(3))
    assert effect(np.ones(3), np.full(3, everybody)) == 0


def test_what_the_e_mail_did_is_no_input() -> None:
    table = customers(200)
    other = table.assign(
        segment=np.where(table.segment == hillstrom.MAILED, hillstrom.LEFT_ALONE, hillstrom.MAILED), visit=1
    )
    before, after = hillstrom.part(table), hillstrom.part(other)
    assert all(np.array_equal(array, after.inputs[name]) for name, array in before.inputs.items())
    assert set(before.inputs) == {column.name for column in MarketingUplift.columns}


def test_parts_share_no_customer() -> None:
    data = hillstrom.split(customers())
    groups = [part.groups for part in (data.training, data.validation, data.test)]
    assert sorted(np.concatenate(groups)) == list(range(3000))
    assert [len(one) for one in groups] == [900, 600, 1500]


def trained(data: Split, path: Path) -> MarketingUplift:
    usecase = MarketingUplift()
    usecase.save(usecase.train(data, TrainSpec(epochs=1, seed=3), Silent()), path)
    return usecase


def chosen(usecase: MarketingUplift, path: Path) -> str:
    [name] = [one["name"] for one in usecase.candidate_table(usecase.load(path)) if one["chosen"]]
    return str(name)


def test_the_rule_ships_where_no_model_beats_it_and_else_a_model(tmp_path: Path) -> None:
    flat, steep = (hillstrom.split(customers(6000, gain=gain)) for gain in (0.0, 0.5))
    path = tmp_path / "model.safetensors"
    assert chosen(trained(flat, path), path) == "bought women's wear"
    assert chosen(trained(steep, path), path) != "bought women's wear"


def test_the_rule_answers_both_groups_rates(tmp_path: Path) -> None:
    data = hillstrom.split(customers(6000, gain=0.0))
    path = tmp_path / "model.safetensors"
    usecase = trained(data, path)
    known = join(data.training, data.validation)
    uplift = Eager().open(Variant(TORCH, path), usecase)(data.test.inputs)["uplift"]
    for answer in (0, 1):
        rows = known.inputs[RULE] == answer
        wanted = effect(known.target[rows], known.more["mailed"][rows])
        assert uplift[data.test.inputs[RULE] == answer] == pytest.approx(wanted, abs=0.002)


@pytest.mark.parametrize("place", range(4))
def test_each_candidate_answers_alike_after_loading_and_in_onnx(place: int, tmp_path: Path) -> None:
    usecase, data = MarketingUplift(), hillstrom.split(customers(1000))
    model = usecase.candidates(1)[place].fit(data.training, 7, Silent())
    path = tmp_path / "torch" / "model.safetensors"
    path.parent.mkdir()
    usecase.save(model, path)
    first = predict(model, data.test, [column.name for column in usecase.columns])[0]
    context = PassContext(usecase, usecase.examples(data, 16), tmp_path / "onnx")
    made = passes().get("onnx").apply(Variant(TORCH, path), context)
    for variant in (Variant(TORCH, path), made):
        found = runtime_for(variant.format).open(variant, usecase)(data.test.inputs)
        assert np.allclose(found["uplift"], first, atol=1e-5)


def test_training_repeats_and_samples_say_what_happened(tmp_path: Path) -> None:
    data = hillstrom.split(customers(1000))
    digests = []
    for name in ("one", "two"):
        usecase = trained(data, tmp_path / name)
        digests.append(sha256_of(tmp_path / name))
    assert digests[0] == digests[1]
    assert usecase.task == BINARY
    first, second = usecase.samples(data).requests[:2]
    assert "women's" in first["before"][0]
    assert "women's" not in second["before"][0]
    assert first["before"][-1].startswith("known afterwards: ")


def test_passes_that_train_have_nothing_to_learn_from_and_the_limit_fits_qini() -> None:
    usecase = MarketingUplift()
    with pytest.raises(ValueError, match="no customer was both"):
        usecase.training_rows(hillstrom.split(customers(100)))
    assert usecase.metric_drop < 0.001


def test_the_catalogue_finds_it_beside_marketing() -> None:
    assert isinstance(usecases().get("marketing-uplift"), MarketingUplift)
    assert "marketing" in usecases().names()


@pytest.mark.nightly(
    like="tests/modelpack/usecases/test_fraud.py::test_on_the_real_payments_it_beats_logistic_regression"
)
@pytest.mark.slow
@pytest.mark.network
def test_on_the_real_customers_the_rule_beats_chance_and_no_model_beats_the_rule(tmp_path: Path) -> None:
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    data = hillstrom.load(fetch(hillstrom.EMAILS, Home(cache, cache), Silent()))
    parts = (data.training, data.validation, data.test)
    assert sum(len(part) for part in parts) == 21_387 + 21_306
    usecase, path = MarketingUplift(), tmp_path / "model.safetensors"
    usecase.save(usecase.train(data, TrainSpec(seed=7), Silent()), path)
    assert chosen(usecase, path) == "bought women's wear"
    evaluation = usecase.evaluate(Eager().open(Variant(TORCH, path), usecase), data)
    *others, lot = usecase.baselines(data)
    assert beats(evaluation, lot.evaluation).low > 0.004
    assert all(beats(one.evaluation, evaluation).low <= 0 for one in others)
    assert evaluation.more["effect_on_chosen"] > 3 * evaluation.more["effect_on_others"]
