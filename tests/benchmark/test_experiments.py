import json
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from sightline.alignment.examples import GuidedExamples
from sightline.alignment.guides import GUIDES
from sightline.alignment.map_sources import GradCamMaps
from sightline.alignment.wanted import GuidedBatch, Wanted
from sightline.benchmark import experiments
from sightline.benchmark.confounded import Confounded, Splits
from sightline.benchmark.exact_gradient import layer_gradients
from sightline.benchmark.experiments import (
    COSINES,
    PLANS,
    decoy_plan,
    exact_plan,
    run_all,
    scenes_plan,
    share_of,
)
from sightline.benchmark.ledger import Experiment, Finished, Ledger
from sightline.benchmark.lessons import Network, Study, TaughtRun, check, guided_examples, run
from sightline.benchmark.outcomes import Outcomes, over_seeds
from sightline.benchmark.result_tables import decoy_tables, exact_tables, scene_tables
from sightline.cli import main
from sightline.errors import SightlineError
from sightline.image.batch import PictureBatch
from sightline.training.recipe import Recipe

PLAIN = Recipe(
    epochs=2, batch=16, lr=0.01, warmup=0.0, weight_decay=0.0, smoothing=0.0, ema=0.0,
    precision="32-true", augmentation=None,
)  # fmt: skip


def toy_split(seed, count=32):
    luck = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (count, 1, 8, 8), generator=luck).byte()
    target = torch.arange(count) % 2
    must = torch.zeros(count, 8, 8, dtype=torch.bool)
    for item in range(count):
        y, x = torch.randint(0, 6, (2,), generator=luck).tolist()
        must[item, y : y + 2, x : x + 2] = True
    return Confounded(pictures, target, must, ~must, target)


class Toy(nn.Module):
    def __init__(self, seed, bend=nn.ReLU):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.before = nn.Conv2d(1, 4, 3, padding=1)
            self.last = nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), bend(), nn.Linear(6, 2))
            if bend is nn.Tanh:  # so steep that it bends
                self.head[1].weight.data *= 20

    def forward(self, pixels):
        hidden = nn.functional.max_pool2d(self.before(pixels).relu(), 2)
        return self.head(self.last(hidden).relu())


def toy_study(name="toy", *, second=True):
    def splits(seed, folder):
        return Splits(*(toy_split(100 * seed + i) for i in range(6)))

    networks = {"small": Network(Toy, GradCamMaps(), "before")}
    return Study(name, splits, networks, PLAIN, second=PLAIN if second else None)


# --- the ledger -----------------------------------------------------------------------------------


def finished(method="plain", seed=0, study="toy", **measures):
    return Finished(Experiment(study, method, "small", seed=seed), measures, 1.5, {"lr": 0.1})


def test_rows_come_back_as_they_went(tmp_path):
    rows = [finished(shifted=0.1 + 0.2, iou=None), finished("clean", 1, shifted=1.0)]
    for row in rows:
        Ledger(tmp_path).append(row)
    assert Ledger(tmp_path).read() == (rows, ())


def test_a_half_line_is_dropped_told_and_cut(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.append(finished(shifted=0.5))
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + whole[:40])
    rows, notes = ledger.read()
    assert len(rows) == 1
    assert notes == ("runs.jsonl: the last line was written half and is left out; it runs again",)
    ledger.append(finished(seed=1, shifted=0.25))
    assert [row.experiment.seed for row in ledger.read()[0]] == [0, 1]
    assert ledger.read()[1] == ()


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.append(finished(shifted=0.5))
    ledger.path.write_bytes(b"{]\n" + ledger.path.read_bytes())
    with pytest.raises(SightlineError, match=r"runs\.jsonl, line 1 is no finished run"):
        ledger.read()
    ledger.path.write_bytes(b"[1]\n")
    with pytest.raises(SightlineError, match="line 1 is no finished run"):
        ledger.read()


def test_shares_are_read_together_and_may_not_contradict(tmp_path):
    Ledger(tmp_path, "runs-0-of-2").append(finished(seed=0, shifted=0.5))
    Ledger(tmp_path, "runs-1-of-2").append(finished(seed=1, shifted=0.5))
    assert len(Ledger(tmp_path).read()[0]) == 2
    Ledger(tmp_path).append(finished(seed=1, shifted=0.5))
    assert len(Ledger(tmp_path).read()[0]) == 2
    Ledger(tmp_path, "runs-2").append(finished(seed=1, shifted=0.6))
    with pytest.raises(SightlineError, match=r"two results of one run .*seed 1"):
        Ledger(tmp_path).read()


def test_experiments_and_measures_out_of_range_are_refused():
    with pytest.raises(SightlineError, match="labels -1"):
        Experiment("toy", "plain", "small", labels=-1)
    with pytest.raises(SightlineError, match=r"noise 1\.5"):
        Experiment("toy", "plain", "small", noise=1.5)
    with pytest.raises(SightlineError, match="shifted not finite"):
        finished(shifted=math.nan)
    told = str(Experiment("toy", "rrr", "small", 100, 0.25, 3))
    assert told == "toy: rrr (small), 100 labels, 25% wrong, seed 3"


# --- tables ---------------------------------------------------------------------------------------


def test_gap_and_differences_by_hand():
    rows = [finished("plain", s, shifted=v) for s, v in enumerate((0.5, 0.4))]
    rows += [finished("clean", s, shifted=0.0, clean=v) for s, v in enumerate((0.9, 0.8))]
    rows += [finished("rrr", s, shifted=v) for s, v in enumerate((0.7, 0.8))]
    found = Outcomes.from_rows([*rows, finished("rrr", 0, "other", shifted=0.1)], "toy")
    kinds = {name: (name, "small", 0, 0.0) for name in ("plain", "clean", "rrr")}
    gap = found.recovered(kinds["rrr"], kinds["plain"], kinds["clean"], "shifted", of_clean="clean")
    # shares 0.5 and 1: mean 0.75, standard error 0.25, t of one degree of freedom 12.706
    assert gap.estimate == pytest.approx(0.75)
    assert gap.low == pytest.approx(0.75 - 12.7062 * 0.25, abs=1e-4)
    change = found.difference(kinds["rrr"], kinds["plain"], "shifted")
    assert (change.estimate, change.high) == pytest.approx((0.3, 0.3 + 12.7062 * 0.1), abs=1e-4)
    assert found.mean(kinds["rrr"], "iou") is None
    table = found.table(("shifted", "iou"))
    assert "| rrr | small | – | – | 2 | 75.0 [11.5, 138.5] | – |" in table.splitlines()


def test_one_seed_has_no_interval():
    assert over_seeds([0.25]).estimate == 0.25
    assert math.isinf(over_seeds([0.25]).high)
    found = Outcomes.from_rows([finished(shifted=0.25)], "toy")
    assert "| 25.0 |" in found.table(("shifted",))


def test_every_plan_has_its_tables():
    rows = []
    for name, plan in PLANS.items():
        for experiment in plan((0, 1)):
            value = np.random.default_rng(len(rows)).uniform(0.2, 0.8)
            cosine = {"cosine head": None, "share head": 0.0, "cosine last": value}
            measures = {"shifted": value, "clean": value, "iou": None}
            kept = cosine if experiment.method == COSINES else measures
            rows.append((name, Finished(experiment, kept)))
    of = {name: [row for plan, row in rows if plan == name] for name in PLANS}
    assert decoy_tables(of["decoy-mnist"]).count("gap recovered") == 2
    text = scene_tables(of["biased-scenes"])
    assert "| res | 300 | 25% |" in text
    assert "Gain over the plain model" in text
    text = exact_tables(of["exact-gradient"])
    assert "| head | – | 0.0 [0.0, 0.0] |" in text
    assert text.count("exact minus detached") == 2
    assert exact_tables([]) == ""


# --- plans ----------------------------------------------------------------------------------------


def test_plans_have_what_they_promise():
    decoys, scenes = decoy_plan(), scenes_plan()
    assert len(decoys) == 5 * (4 + 2 + len(GUIDES) + 1)
    assert {row.method for row in decoys if row.network == "cnn"} >= {*GUIDES, "caipi", "clean"}
    of_gradia = {(r.labels, r.noise) for r in scenes if r.method == "gradia"}
    assert of_gradia == {(n, wrong) for n in (10, 30, 100, 300) for wrong in (0.0, 0.25)}
    assert {r.method for r in scenes if r.labels == 100} == {*GUIDES, "caipi"}
    assert {r.method for r in scenes if r.noise} == set(experiments.MAIN)
    assert set(exact_plan()) - {r for r in exact_plan() if r.method == COSINES} <= {
        *decoys,
        *scenes,
    }
    for plan in (decoys, scenes, exact_plan()):
        assert len(set(plan)) == len(plan)
        assert Counter(row.seed for row in plan).most_common()[-1][1] == len(plan) / 5
        assert 100 not in {row.seed for row in plan}  # the seed of the tuning


def test_every_experiment_of_the_plans_can_be_run(tmp_path):
    studies = {"decoy-mnist": experiments.decoy_study(tmp_path)}
    studies["biased-scenes"] = experiments.scenes_study()
    for row in [*decoy_plan([0]), *scenes_plan([0])]:
        check(studies[row.study], row)
        if row.method in GUIDES:
            assert studies[row.study].guide(row).name == row.method
    assert set(experiments.DECOY_STRENGTHS) | set(experiments.SCENE_STRENGTHS) <= {*GUIDES}


def test_shares_divide_a_plan():
    plan = scenes_plan(range(5))
    shares = [share_of(plan, i, 3) for i in range(3)]
    assert sorted(row for share in shares for row in share) == sorted(plan)
    assert len({share[0].seed for share in shares}) == 3
    with pytest.raises(SightlineError, match="share 2/2; give 0/2 to 1/2"):
        share_of(plan, 2, 2)


# --- running --------------------------------------------------------------------------------------


def toy_plan():
    rows = [Experiment("toy", name, "small") for name in ("plain", "clean", "continued")]
    rows += [Experiment("toy", name, "small", 8) for name in ("gradia", "rrr", "caipi")]
    rows += [
        Experiment("toy", "res-learnt", "small", 8, 0.25),
        Experiment("toy", COSINES, "small", 8),
    ]
    return rows


def test_a_plan_goes_on_where_it_was_and_runs_do_not_depend_on_their_order(tmp_path):
    studies, plan, told = {"toy": toy_study()}, toy_plan(), []
    first = run_all(plan[:3], studies, tmp_path / "a", progress=told.append)
    assert [row.experiment for row in first] == plan[:3]
    every = run_all(plan, studies, tmp_path / "a", progress=told.append)
    assert len(told) == len(plan)
    assert run_all(plan, studies, tmp_path / "a", progress=told.append) == every
    assert len(told) == len(plan)
    state = torch.random.get_rng_state()
    other = run_all(plan[::-1], studies, tmp_path / "b", share=(1, 2))
    other = run_all(plan[::-1], studies, tmp_path / "b", share=(0, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    found = {row.experiment: dict(row.measures) for row in other}
    assert found == {row.experiment: dict(row.measures) for row in every}
    assert sorted(p.name for p in (tmp_path / "b").glob("*.jsonl")) == [
        "runs-0-of-2.jsonl",
        "runs-1-of-2.jsonl",
    ]
    with pytest.raises(SightlineError, match="no study other; known: toy"):
        run_all([replace(plan[0], study="other")], studies, tmp_path)


def test_results_of_other_settings_are_not_taken_for_these(tmp_path):
    plan = [Experiment("toy", "rrr", "small", 8)]
    run_all(plan, {"toy": toy_study()}, tmp_path)
    stronger = replace(toy_study(), strengths={"rrr": 3.0})
    with pytest.raises(SightlineError, match=r"result of other settings \(toy: rrr"):
        run_all(plan, {"toy": stronger}, tmp_path)


def test_measures_by_plain_lines(tmp_path):
    study, experiment = toy_study(), Experiment("toy", "plain", "small", seed=2)
    row = run(study, experiment, tmp_path)
    splits = study.splits(2, None)
    model = TaughtRun(study, experiment, splits, tmp_path).without_labels()  # the one that was kept
    for name, split in (("shifted", splits.test), ("clean", splits.clean_test)):
        right = model(split.pictures.float() / 255).argmax(1) == split.target
        assert row.measures[name] == pytest.approx(float(right.float().mean()))
    groups = [float(right[split.group == g].float().mean()) for g in (0, 1)]
    assert row.measures["worst group"] == pytest.approx(min(groups))
    assert set(row.measures) == {
        "shifted", "clean", "as trained", "worst group", "iou", "energy", "f1", "wrong reason",
    }  # fmt: skip
    assert json.dumps(row.settings)


def test_phase_2_begins_with_the_plain_model_and_one_phase_does_not(tmp_path):
    still = replace(PLAIN, epochs=1, lr=1e-12)
    study = replace(toy_study(), second=still)
    plain = run(study, Experiment("toy", "plain", "small"), tmp_path)
    taught = run(study, Experiment("toy", "gradia", "small", 4), tmp_path)
    assert taught.measures == plain.measures
    alone = replace(study, second=None, recipe=still)
    model = TaughtRun(
        alone, Experiment("toy", "gradia", "small", 4), alone.splits(0, None), tmp_path
    ).taught()
    for a, b in zip(model.parameters(), Toy(0).parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_labels_and_noise_reach_the_examples():
    training = toy_split(0)
    right = guided_examples(Experiment("toy", "rrr", "small", 8), training)
    wrong = guided_examples(Experiment("toy", "rrr", "small", 8, 0.25), training)
    assert isinstance(right, GuidedExamples)
    assert len(right.labelled) == 8
    changed = [i for i in right.masks if not torch.equal(right.masks[i][0], wrong.masks[i][0])]
    assert len(changed) == 2
    for item, (must, must_not) in right.masks.items():
        assert torch.equal(must > 0, training.must[item])
        assert torch.equal(must_not > 0, training.must_not[item])


def test_counterexamples_are_copies_with_another_background(tmp_path):
    study, experiment = toy_study(), Experiment("toy", "caipi", "small", 8)
    splits = study.splits(0, None)
    training, _ = TaughtRun(study, experiment, splits, tmp_path).read()
    assert len(training) == 32 + 3 * 8
    labelled = guided_examples(experiment, splits.training).labelled.repeat_interleave(3)
    must = splits.training.must[labelled][:, None]
    copies, originals = training.pixels[32:], splits.training.pictures[labelled]
    assert torch.equal(copies * must, originals * must)
    assert ((copies != originals) & ~must).flatten(1).sum(1).min() > 40
    assert torch.equal(training.target[32:], splits.training.target[labelled])


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"method": "gradiant", "labels": 5}, "unknown method 'gradiant'; did you mean 'gradia'?"),
        ({"network": "large"}, "unknown network 'large'"),
        ({"labels": 5}, "has 5 labels; plain reads none"),
        ({"method": "rrr"}, "has 0 labels; rrr reads some"),
        ({"method": "continued"}, "toy has no phase 2 to continue in"),
    ],
)
def test_runs_that_a_study_does_not_have_are_refused(broken, said):
    experiment = replace(Experiment("toy", "plain", "small"), **broken)
    with pytest.raises(SightlineError, match=re.escape(said)):
        check(toy_study(second=False), experiment)


# --- both gradients -------------------------------------------------------------------------------


@pytest.mark.parametrize("bend", [nn.ReLU, nn.Tanh])
def test_the_detached_gradient_does_not_reach_what_follows_the_map(bend):
    model, split = Toy(3, bend), toy_split(1)
    split = split.select(torch.arange(8))
    wanted = Wanted(split.must.float(), split.must_not.float(), torch.ones(8))
    batch = GuidedBatch(PictureBatch(split.pixels), wanted, torch.ones(8))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = {row.layer: row for row in layer_gradients(model, batch, split.target)}
    assert set(rows) == {"before", "last", "head.1", "head.3"}
    for layer in ("before", "last"):
        # between ReLUs a slope does not depend on the features: before the map both are the same
        assert (rows[layer].cosine == pytest.approx(1, abs=1e-4)) == (bend is nn.ReLU)
        assert rows[layer].share > 0
    for layer in ("head.1", "head.3"):
        assert rows[layer].cosine is None
        assert rows[layer].share == 0
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert model.training
    assert all(w.grad is None and w.requires_grad for w in model.parameters())


def test_the_exact_gradient_is_that_of_finite_differences():
    model, split = Toy(3, nn.Tanh).double(), toy_split(1).select(torch.arange(4))
    wanted = Wanted(split.must.double(), split.must_not.double(), torch.ones(4).double())
    batch = GuidedBatch(PictureBatch(split.pixels.double()), wanted, torch.ones(4).double())
    exact = experiments_gradient(model, batch, split.target, exact=True)
    detached = experiments_gradient(model, batch, split.target, exact=False)
    for name in ("last.weight", "head.1.weight"):
        weight = dict(model.named_parameters())[name]
        place = int(exact[name].abs().argmax())
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight.view(-1)[place] += step
            values.append(far_of(model, batch, split.target))
            with torch.no_grad():
                weight.view(-1)[place] -= step
        slope = (values[0] - values[1]) / 2e-6
        assert float(exact[name].view(-1)[place]) == pytest.approx(slope, rel=1e-4)
        assert float(detached[name].view(-1)[place]) != pytest.approx(slope, rel=1e-2)


def experiments_gradient(model, batch, target, *, exact):
    from sightline.alignment.losses import GradiaLoss
    from sightline.benchmark.exact_gradient import _gradients

    return _gradients(model, batch, target, GradCamMaps(exact=exact), GradiaLoss())


def far_of(model, batch, target):
    from sightline.alignment.losses import GradiaLoss

    maps = GradCamMaps().look(model, batch.inputs).maps(target)
    return GradiaLoss()(maps, batch.wanted).mean().item()


def test_the_command_writes_its_table(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "scenes_study", lambda: toy_study("biased-scenes"))
    monkeypatch.setitem(
        PLANS,
        "biased-scenes",
        lambda seeds: [
            Experiment("biased-scenes", name, "small", seed=s)
            for s in seeds
            for name in ("plain", "clean")
        ],
    )
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # the other tests' affair
    arguments = ["benchmark", "biased-scenes", "--out", str(tmp_path / "out"), "--seeds", "2"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "| plain | small | – | – | 2 |" in done.stdout
    assert (tmp_path / "out" / "biased-scenes.md").read_text() == done.stdout.removesuffix("\n")
    assert "4/4 biased-scenes: clean (small), seed 1" in done.stderr


def test_a_plan_says_what_it_needs(tmp_path):
    with pytest.raises(SightlineError, match="unknown plan 'decoy-mnits'; did you mean 'decoy-mn"):
        experiments.run_plan("decoy-mnits", tmp_path)
    with pytest.raises(SightlineError, match="reads MNIST's test set; give its folder"):
        experiments.run_plan("decoy-mnist", tmp_path)
    wrong = ["benchmark", "biased-scenes", "--out", str(tmp_path), "--share", "2/2"]
    done = CliRunner().invoke(main, wrong)
    assert done.exit_code == 2
    assert "expected two numbers, as in 0/2" in done.stderr
