"""Marketing: no input from after a campaign's start, no label from after the cut, better than the past rate."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import pytest

from modelpack.digests import sha256_of
from modelpack.formats.variant import TORCH, Variant
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Silent
from modelpack.runtimes.eager import Eager
from modelpack.usecases.base import beats
from modelpack.usecases.complete_journey import PACKAGE
from modelpack.usecases.marketing import Marketing, households
from modelpack.usecases.marketing import data as shops
from modelpack.usecases.marketing.data import LAST_DAY, NEVER, TEST_FROM, VALIDATION_FROM, Households
from modelpack.usecases.marketing.households import split, with_known_labels
from modelpack.usecases.packages import fetch
from modelpack.usecases.tabular.frame import join


def made(seed: int = 0) -> Households:
    """Made up for the shape of things only: 60 households, 12 campaigns, one of them still open at the end."""
    generator = np.random.default_rng(seed)
    lines, campaigns = 6000, np.arange(1, 13)
    starts = np.array([10, 35, 60, 90, 110, 130, 160, 190, 215, 240, 280, 340])
    sent = np.array(
        [(one, campaign) for campaign in campaigns for one in generator.choice(60, 30, replace=False)]
    )
    chosen = sent[generator.random(len(sent)) < 0.3]
    return Households(
        lines={
            "household": generator.integers(0, 60, lines),
            "day": np.sort(generator.integers(0, 365, lines)),
            "product": generator.integers(0, 50, lines),
            "spent": generator.gamma(2, 3, lines),
            "coupon": np.where(generator.random(lines) < 0.1, 1.0, 0.0),
            "own": (generator.random(lines) < 0.3).astype(np.float64),
        },
        sent={"household": sent[:, 0], "campaign": sent[:, 1]},
        redeemed={
            "household": chosen[:, 0],
            "campaign": chosen[:, 1],
            "day": starts[chosen[:, 1] - 1] + generator.integers(1, 30, len(chosen)),
        },
        campaigns={"campaign": campaigns, "type": campaigns % 3, "start": starts, "end": starts + 30},
        coupons={"campaign": np.repeat(campaigns, 5), "product": generator.integers(0, 50, 60)},
        people={name: np.arange(0, 60, 2) % 5 for name in ("age", "income", "kids")}
        | {"household": np.arange(0, 60, 2)},
    )


def changed_from(shop: Households, day: int) -> Households:
    """The same shop with everything from a day on otherwise: purchases, redemptions, later campaigns' households."""

    def moved(table: dict[str, Any], when: str, *names: str) -> dict[str, Any]:
        late = table[when] >= day
        return {
            name: np.where(late, array + 17, array) if name in names else array
            for name, array in table.items()
        }

    start = dict(zip(shop.campaigns["campaign"], shop.campaigns["start"], strict=True))
    sent = shop.sent | {"start": np.array([start[one] for one in shop.sent["campaign"]]) - 1}
    return replace(
        shop,
        lines=moved(shop.lines, "day", "spent", "coupon", "product", "household"),
        redeemed=moved(shop.redeemed, "day", "household"),
        sent={name: array for name, array in moved(sent, "start", "household").items() if name != "start"},
    )


@pytest.mark.parametrize("place", [3, 7, 9])
def test_no_input_rests_on_the_campaigns_start_or_later(place: int) -> None:
    shop = made()
    start = int(shop.campaigns["start"][place])
    before, after = households.rows(shop, place), households.rows(changed_from(shop, start), place)
    assert not np.array_equal(before.target, after.target)
    for name, array in before.inputs.items():
        assert np.array_equal(array, after.inputs[name]), name
    earlier = households.rows(changed_from(shop, start - 40), place)
    assert not np.array_equal(before.inputs["spent_28"], earlier.inputs["spent_28"])


def test_campaigns_that_are_open_at_the_end_or_began_before_the_data_are_left_out() -> None:
    data = split(made())
    campaigns = [set(part.more["campaign"].tolist()) for part in (data.training, data.validation, data.test)]
    assert campaigns == [{2, 3, 4, 5}, {6, 7, 8}, {9, 10, 11}]
    assert LAST_DAY < 340 + 30


def test_what_was_redeemed_after_the_cut_was_not_known_when_training() -> None:
    data = split(made())
    early = with_known_labels(data.training)
    late = data.training.more["redeemed"]
    assert ((late >= VALIDATION_FROM) & (late < NEVER)).any()
    assert np.array_equal(early.target > 0, late < VALIDATION_FROM)
    both = join(data.training, data.validation)
    assert np.array_equal(with_known_labels(both).target > 0, both.more["redeemed"] < TEST_FROM)
    assert np.array_equal(data.test.target > 0, data.test.more["redeemed"] < NEVER)


def test_counts_of_one_household_by_hand() -> None:
    shop = made()
    part = households.rows(shop, 8)
    start, one = int(shop.campaigns["start"][8]), int(part.groups[4])
    mine = (shop.lines["household"] == one) & (shop.lines["day"] < start)
    lately = mine & (shop.lines["day"] >= start - 28)
    products = shop.coupons["product"][shop.coupons["campaign"] == 9]
    assert part.inputs["spent_28"][4] == pytest.approx(shop.lines["spent"][lately].sum() / 4)
    assert part.inputs["visits_28"][4] == pytest.approx(len(np.unique(shop.lines["day"][lately])) / 4)
    assert part.inputs["days_since_visit"][4] == start - shop.lines["day"][mine].max()
    fits = np.isin(shop.lines["product"][mine], products)
    assert part.inputs["fitting_share"][4] == pytest.approx(fits.mean())
    redeemed = (shop.redeemed["household"] == one) & (shop.redeemed["day"] < start)
    assert part.inputs["redeemed"][4] == redeemed.sum()


def test_words_have_places_and_unknown_ones_do_not() -> None:
    words = pd.Series(["15-24K", None, "250K+", "Under 15K"])
    assert shops.rank(words, shops.INCOMES).tolist() == [1, -1, len(shops.INCOMES), 0]


def test_training_repeats_and_samples_say_what_happened(tmp_path: Path) -> None:
    usecase, data, digests = Marketing(), split(made()), []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.safetensors"
        usecase.save(usecase.train(data, TrainSpec(epochs=1, seed=3), Silent()), path)
        digests.append(sha256_of(path))
    assert digests[0] == digests[1]
    evaluation = usecase.evaluate(Eager().open(Variant(TORCH, path), usecase), data)
    assert {"accuracy", "precision", "recall", "f1", "lift_of_best_tenth"} <= set(evaluation.more)
    assert len(usecase.candidate_table(usecase.load(path))) == 3
    first, second = usecase.samples(data).requests[:2]
    assert first["before"][-1] == "known afterwards: redeemed"
    assert second["before"][-1] == "known afterwards: not redeemed"


@pytest.mark.slow
@pytest.mark.network
def test_the_real_model_beats_type_times_past_rate_and_trees_do_not_beat_it(tmp_path: Path) -> None:
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    data = split(shops.load(fetch(PACKAGE, Home(cache, cache), Silent())))
    parts = (data.training, data.validation, data.test)
    assert [(len(part), int(part.target.sum())) for part in parts] == [(944, 61), (1759, 205), (2954, 480)]
    usecase, path = Marketing(), tmp_path / "model.safetensors"
    usecase.save(usecase.train(data, TrainSpec(seed=7), Silent()), path)
    evaluation = usecase.evaluate(Eager().open(Variant(TORCH, path), usecase), data)
    rule, kind, trees = usecase.baselines(data)
    assert beats(evaluation, rule.evaluation).low > 0.02
    assert beats(evaluation, kind.evaluation).low > 0.02
    assert beats(trees.evaluation, evaluation).low <= 0
