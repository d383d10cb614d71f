"""The training loop: it learns, resumes exactly, and refuses what it cannot do."""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.training import TrainingOptions, load_checkpoint, resume_key, save_checkpoint
from earthsignals.training.data import Batches, BatchPlan
from earthsignals.training.options import learning_rate

sys.path.insert(0, str(Path(__file__).parent))  # spawned ranks import the job by its name
import training_job as job  # noqa: E402


def same(first: dict, second: dict) -> bool:
    """Equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def options(**changes) -> TrainingOptions:
    return TrainingOptions(**(job.OPTIONS.model_dump() | changes))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return job.train(tmp_path_factory.mktemp("unbroken"))


# --- what it computes


def test_least_squares_is_found(tmp_path):
    """A linear model on noise-free linear data has one optimum, known in closed form."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 3, generator=generator)
    weights = torch.tensor([[1.0, -2.0, 0.5]])
    y = x @ weights.T + 0.25
    torch.manual_seed(0)  # the start decides how near 60 epochs come
    model = torch.nn.Linear(3, 1)
    result = job.fit(
        model, job.squared_error, (x, y), (x, y),
        options(epochs=60, batch_size=32, learning_rate=0.05, weight_decay=0.0),
        job.settings(), resume_root=tmp_path, key="linear",
    )
    assert torch.allclose(model.weight, weights, atol=1e-3)
    assert model.bias.item() == pytest.approx(0.25, abs=1e-3)
    assert result.best_loss == min(row["validation_loss"] for row in result.history) < 1e-5
    assert not model.training
    result.clear()
    assert not (tmp_path / "linear").exists()


def test_validation_loss_is_the_mean_over_all_items(tmp_path, unbroken):
    """33 items in batches of 16: the ragged batch of one must weigh one item, not one batch."""
    model, result = unbroken
    _, validation = job.data()
    with torch.no_grad():
        expected = job.squared_error(model, validation)
    best = result.history[result.best_epoch]
    assert best["validation_loss"] == pytest.approx(expected["loss"].item(), rel=1e-5)
    assert best["validation_mae"] == pytest.approx(expected["mae"].item(), rel=1e-5)
    assert [row["epoch"] for row in result.history] == [0, 1, 2, 3]


def test_repeats_itself_and_every_option_matters(tmp_path, unbroken):
    reference = unbroken[0].state_dict()
    assert same(job.train(tmp_path / "again")[0].state_dict(), reference)
    changes = {
        "epochs": 2, "batch_size": 10, "learning_rate": 2e-3, "weight_decay": 0.5,
        "optimizer": "adam", "schedule": "cosine", "warmup_fraction": 0.5, "gradient_clip": 0.01,
        "seed": 4, "sam_rho": 0.05, "ema_decay": 0.9,
    }
    for name, value in changes.items():
        model, _ = job.train(tmp_path / name, options=options(**{name: value}))
        assert not same(model.state_dict(), reference), name
    models = [
        job.train(tmp_path / f"{m}", options=options(optimizer="sgd", momentum=m))[0] for m in (0, 0.9)
    ]
    assert not same(models[0].state_dict(), models[1].state_dict())


def test_later_options_leave_no_trace_at_their_defaults():
    """Checkpoints hold the options they were trained with: old ones must come out with the same bytes."""
    later = {"momentum": 0.5, "sam_rho": 0.05, "ema_decay": 0.99}
    assert not later.keys() & options().model_dump(mode="json").keys()
    assert later.items() <= options(**later).model_dump(mode="json").items()
    assert TrainingOptions(**options(**later).model_dump()) == options(**later)


def test_early_stopping_waits_for_patience(tmp_path):
    """With a vanishing learning rate nothing improves by more than the first epoch's rounding."""
    calls = []

    def worse_each_time(model, batch):
        loss = job.squared_error(model, batch)["loss"]
        if not model.training:
            calls.append(1)
        return loss * 0 + len(calls)

    _, result = job.train(tmp_path, worse_each_time, options(epochs=9, patience=2))
    assert result.best_epoch == 0
    assert len(result.history) == 3  # the best one and two that were not better


def test_biases_do_not_decay(tmp_path):
    """With a zero gradient only decay moves weights: matrices shrink, biases stay."""
    model = job.plain_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def flat(model, batch):
        return sum(p.sum() for p in model.parameters()) * 0.0

    # The loss never improves after epoch 0, so the best weights are those of epoch 0.
    job.train(tmp_path, flat, options(weight_decay=1.0, epochs=1), model)
    after = model.state_dict()
    assert torch.equal(after["0.bias"], before["0.bias"])
    assert (after["0.weight"].abs() < before["0.weight"].abs()).all()


def test_a_loss_that_is_not_finite_is_a_sentence(tmp_path):
    with pytest.raises(EarthSignalsError, match=r"train loss became nan in epoch 0.*learning_rate"):
        job.train(tmp_path, job.not_a_number)
    assert not list(tmp_path.glob("job/*.pt"))  # no resume point holds ruined weights


# --- SGD, sharpness-aware minimisation, averaged weights


RATE, RHO, CLIP = 0.05, 0.3, 0.4
BY_HAND = dict(
    epochs=1, optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant", warmup_fraction=0.0,
    learning_rate=RATE,
)


def gradient(model, batch) -> list[torch.Tensor]:
    parameters = list(model.parameters())
    return list(torch.autograd.grad(job.squared_error(model, batch)["loss"], parameters))


def norm_of(tensors) -> torch.Tensor:
    return torch.sqrt(sum(t.double().square().sum() for t in tensors)).float()


def training_batches(chosen: TrainingOptions):
    plan = BatchPlan(100, chosen.batch_size, shuffle=True, seed=chosen.seed)
    return list(Batches(job.data()[0], plan))


def test_sgd_with_momentum_follows_its_formula(tmp_path):
    """v <- m v + g, w <- w - lr v (Sutskever et al. 2013, without Nesterov), over six steps."""
    chosen = options(**BY_HAND | {"momentum": 0.5})
    trained, _ = job.train(tmp_path, options=chosen, model=job.plain_network())
    model = job.plain_network()
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    for batch in training_batches(chosen):
        for p, v, g in zip(model.parameters(), velocity, gradient(model, batch), strict=True):
            v.mul_(0.5).add_(g)
            p.data.sub_(RATE * v)
    for name, value in model.state_dict().items():
        assert torch.allclose(trained.state_dict()[name], value, rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("clip", [0.0, CLIP])
def test_sam_takes_the_gradient_uphill(tmp_path, clip):
    """Two steps by hand: up by rho along the unit gradient, down by the gradient found there."""
    chosen = options(**BY_HAND, sam_rho=RHO, gradient_clip=clip)
    trained, _ = job.train(tmp_path, options=chosen, model=job.plain_network())
    model, plain = job.plain_network(), job.plain_network()
    for batch in training_batches(chosen):
        kept = [p.detach().clone() for p in model.parameters()]
        ascent = gradient(model, batch)
        for p, g in zip(model.parameters(), ascent, strict=True):
            p.data.add_(RHO * g / norm_of(ascent))
        descent = gradient(model, batch)
        shrink = min(1.0, clip / norm_of(descent)) if clip else 1.0
        for p, old, g in zip(model.parameters(), kept, descent, strict=True):
            p.data.copy_(old - RATE * shrink * g)
        for p, g in zip(plain.parameters(), gradient(plain, batch), strict=True):
            p.data.sub_(RATE * g)
    for name, value in model.state_dict().items():
        assert torch.allclose(trained.state_dict()[name], value, rtol=1e-4, atol=1e-5), name
    # The test could not fail if rho were too small to matter.
    climbed, level = model.state_dict()["0.weight"], plain.state_dict()["0.weight"]
    assert (climbed - level).abs().max() > 0.01


def test_sam_counts_a_batch_once_and_draws_its_dropout_once(tmp_path):
    """The uphill pass sees the same dropout, and neither it nor its statistics leave a trace."""
    outputs = []

    def noted(model, batch):
        if model.training:
            outputs.append((model[3](torch.ones(4, 32)) > 0, model[1].num_batches_tracked.item()))
        return job.squared_error(model, batch)

    model, _ = job.train(tmp_path, noted, options(epochs=1, sam_rho=0.05))
    assert len(outputs) == 12  # six steps of two passes
    first, second = outputs[::2], outputs[1::2]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0][0], first[1][0])
    assert [count for _, count in first] == list(range(6))  # batches counted before a step
    assert [count for _, count in second] == list(range(1, 7))
    assert model[1].num_batches_tracked == 6


def test_sam_stays_where_there_is_no_slope(tmp_path):
    model = job.plain_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def flat(model, batch):
        return sum(p.sum() for p in model.parameters()) * 0.0

    job.train(tmp_path, flat, options(**BY_HAND, sam_rho=RHO), model)
    assert same(model.state_dict(), before)  # a division by the norm 0 would give NaN


def test_the_average_is_its_closed_form_and_is_what_is_judged(tmp_path):
    """sum d^(t-i) (1-d) w_i / (1 - d^t) of the weights after each of 12 steps, buffers included."""
    decay, steps = 0.8, 12
    seen: dict[bool, list[dict[str, torch.Tensor]]] = {True: [], False: []}

    def noted(model, batch):
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        seen[model.training].append(weights)
        return job.squared_error(model, batch)

    averaged, result = job.train(tmp_path / "a", noted, options(ema_decay=decay))
    # Six steps and three batches of validation an epoch. What the loss sees at the start of a step are the
    # weights after the one before.
    judged = seen[False][::3]
    for name in ("0.weight", "0.bias", "1.running_var", "4.weight"):
        expected = sum(
            decay ** (steps - i) * (1 - decay) * seen[True][i][name].double() for i in range(1, steps + 1)
        ) / (1 - decay**steps)
        assert torch.allclose(judged[1][name].double(), expected, rtol=1e-5, atol=1e-7), name
    assert judged[1]["1.num_batches_tracked"] == steps
    assert same(judged[result.best_epoch], averaged.state_dict())
    # Averaging watches the training, it does not steer it.
    _, plain = job.train(tmp_path / "b")
    assert [row["train_loss"] for row in plain.history] == [row["train_loss"] for row in result.history]


# --- schedules


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_schedules_peak_after_the_warmup(schedule):
    chosen = options(schedule=schedule, warmup_fraction=0.25, learning_rate=1.0)
    rates = [learning_rate(chosen, step, 101) for step in range(101)]
    assert max(rates) == rates[25] == 1.0
    assert all(a < b for a, b in zip(rates[:25], rates[1:26], strict=True))
    last = {"onecycle": 1 / 250_000, "cosine": 0.0, "constant": 1.0}[schedule]
    assert rates[-1] == pytest.approx(last, abs=1e-12)
    halfway = 25 + (100 - 25) / 2  # half a cosine has fallen by half
    if schedule != "constant":
        middle = (rates[math.floor(halfway)] + rates[math.ceil(halfway)]) / 2
        assert middle == pytest.approx((1 + last) / 2, abs=1e-6)


def test_one_cycle_agrees_with_torch():
    chosen = options(schedule="onecycle", warmup_fraction=0.3, learning_rate=0.1)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    torchs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100, pct_start=0.3)
    ours, theirs = [], []
    for step in range(100):
        ours.append(learning_rate(chosen, step, 100))
        theirs.append(torchs.get_last_lr()[0])
        optimizer.step()
        torchs.step()
    # torch ends its rise one step earlier (at 0.3·100 - 1): compare the curves shifted by that.
    assert ours[0] == pytest.approx(theirs[0])
    assert ours[30] == pytest.approx(theirs[29])
    assert ours[-1] == pytest.approx(theirs[-1])


@pytest.mark.parametrize(
    "key, value",
    [("epochs", 0), ("optimizer", "lamb"), ("seed", -1), ("ema_decay", 1.0), ("sam_rho", -0.1)],
)
def test_impossible_options_are_refused(key, value):
    with pytest.raises(ValidationError, match=key):
        options(**{key: value})


# --- batches


def test_every_item_is_seen_once_and_ranks_share_batches():
    plan = BatchPlan(100, 16, shuffle=True, seed=5)
    whole = [chunk.tolist() for chunk in plan]
    assert [len(chunk) for chunk in whole] == [16] * 6
    assert len({i for chunk in whole for i in chunk}) == 96
    parts = []
    for rank in range(2):
        plan.rank, plan.world = rank, 2
        parts.append([chunk.tolist() for chunk in plan])
    for both, first, second in zip(whole, *parts, strict=True):
        assert sorted(both) == sorted(first + second)


def test_order_depends_on_seed_and_epoch_only():
    def order(seed, epoch):
        plan = BatchPlan(64, 64, shuffle=True, seed=seed)
        plan.epoch = epoch
        return next(iter(plan)).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_ragged_batches_weigh_their_items():
    plan = BatchPlan(17, 8, shuffle=False, seed=0)
    assert [len(chunk) for chunk in plan] == plan.weights == [8, 8, 1]
    plan.rank, plan.world = 1, 2
    assert [len(chunk) for chunk in plan] == [4, 4, 1]  # the last repeats an item of rank 0 ...
    assert plan.weights == [4, 4, 0]  # ... and does not count it


def test_all_kinds_of_data_give_the_same_batches():
    x, y = job.data()[0]

    class Source:
        def __len__(self):
            return len(x)

        def batch(self, indices, epoch):
            assert epoch == 3
            return x[indices], y[indices]

    def batches(data):
        plan = BatchPlan(100, 30, shuffle=True, seed=1)
        plan.epoch = 3
        return list(Batches(data, plan))

    reference = batches((x, y))
    for data in (Source(), torch.utils.data.TensorDataset(x, y)):
        found = batches(data)
        assert len(found) == len(reference) == 3
        for ours, theirs in zip(found, reference, strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])


@pytest.mark.parametrize(
    "data, told",
    [
        ((torch.zeros(3, 1), torch.zeros(4, 1)), r"\[3, 4\] items"),
        ((torch.zeros(0, 1), torch.zeros(0, 1)), "is empty"),
        (7, "is a int"),
    ],
)
def test_unusable_data_is_refused(tmp_path, data, told):
    with pytest.raises(EarthSignalsError, match=told):
        job.fit(
            job.network(), job.squared_error, data, job.data()[1], job.OPTIONS, job.settings(),
            resume_root=tmp_path, key="x",
        )


# --- resume


def killed(root: Path, moment: str, *choices: str) -> None:
    command = [sys.executable, job.__file__, str(root), moment, *choices]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120)
    assert done.returncode == -signal.SIGKILL


def test_killed_twice_and_resumed_gives_the_same_bits(tmp_path, unbroken):
    """6 steps and 3 validation batches an epoch: call 22 is in the third epoch's training."""
    killed(tmp_path, "step:22")
    assert (tmp_path / "job" / "last.pt").exists()
    # Goes on with epoch 2; dies when its best weights are written and its resume point is not.
    killed(tmp_path, "save:1")
    model, result = job.train(tmp_path)
    assert result.resumed_epoch == 2
    assert same(model.state_dict(), unbroken[0].state_dict())
    assert result.history == unbroken[1].history
    assert result.best_epoch == unbroken[1].best_epoch


def test_sam_and_average_survive_a_kill_to_the_bit(tmp_path):
    """SGD's momentum, the average with its count, and the dropout of both passes: all go on as they were."""
    choices = {"optimizer": "sgd", "sam_rho": 0.05, "ema_decay": 0.9}
    whole, expected = job.train(tmp_path / "whole", options=options(**choices))
    killed(tmp_path, "step:37", *(f"{name}={value}" for name, value in choices.items()))
    model, result = job.train(tmp_path, options=options(**choices))
    assert result.resumed_epoch == 2  # 12 calls of the loss in training and 3 in validation per epoch
    assert same(model.state_dict(), whole.state_dict())
    assert result.history == expected.history


def test_a_finished_training_is_not_repeated(tmp_path, unbroken):
    """Killed after the loop but before the checkpoint was published: nothing is computed again."""
    job.train(tmp_path)

    def never(model, batch):
        raise AssertionError("the training was complete")

    model, result = job.train(tmp_path, never)
    assert result.resumed_epoch == 4
    assert same(model.state_dict(), unbroken[0].state_dict())


def test_rare_resume_points_lose_epochs_but_no_bits(tmp_path, unbroken):
    class Stop(Exception):
        pass

    def stop(row):
        if row["epoch"] == 2:
            raise Stop

    rare = options(checkpoint_every=2)
    with pytest.raises(Stop):
        job.train(tmp_path, options=rare, on_epoch=stop)
    model, result = job.train(tmp_path, options=rare)
    assert result.resumed_epoch == 2
    assert same(model.state_dict(), unbroken[0].state_dict())


@pytest.mark.parametrize("fault", ["truncated", "other options"])
def test_a_resume_point_that_does_not_fit_is_not_used(tmp_path, unbroken, capsys, fault):
    job.train(tmp_path, options=options(seed=9) if fault == "other options" else job.OPTIONS)
    if fault == "truncated":
        last = tmp_path / "job" / "last.pt"
        last.write_bytes(last.read_bytes()[:1000])
    model, result = job.train(tmp_path)
    assert "training starts anew" in capsys.readouterr().err
    assert result.resumed_epoch == 0
    assert same(model.state_dict(), unbroken[0].state_dict())


def test_resume_keys_tell_params_apart():
    assert resume_key({"a": 1, "b": 2}) == resume_key({"b": 2, "a": 1})
    assert resume_key({"a": 1}) != resume_key({"a": 2})
    assert len(resume_key({})) == 16


# --- devices


def test_two_ranks_agree_with_one_that_has_the_doubled_batch(tmp_path):
    """Two gloo ranks with eight items each, one process with sixteen: the same items make the same
    gradients but for the order of sums, and so the same curves of both losses, epoch by epoch."""
    rows = []
    model, result = job.train(
        tmp_path / "two", model=job.plain_network(), settings=job.settings(devices=2),
        on_epoch=rows.append, options=options(epochs=2),
    )
    single, expected = job.train(
        tmp_path / "one", model=job.plain_network(), options=options(epochs=2)
    )
    for name, value in single.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, rtol=1e-4, atol=1e-6), name
    assert rows == result.history  # rank 0's rows reach this process
    for curve in ("train_loss", "validation_loss", "train_mae", "validation_mae", "learning_rate"):
        ours = [row[curve] for row in result.history]
        assert ours == pytest.approx([row[curve] for row in expected.history], rel=1e-4), curve


def test_two_ranks_climb_and_average_as_one(tmp_path):
    """SAM's uphill gradient is that of the whole batch, not of a rank's share of it."""
    chosen = options(epochs=2, sam_rho=0.2, ema_decay=0.8, optimizer="sgd", learning_rate=0.05)
    trained = [
        job.train(
            tmp_path / f"{devices}", model=job.plain_network(), options=chosen,
            settings=job.settings(devices=devices),
        )
        for devices in (1, 2)
    ]
    (single, expected), (double, result) = trained
    for name, value in single.state_dict().items():
        assert torch.allclose(double.state_dict()[name], value, rtol=1e-4, atol=1e-6), name
    for ours, theirs in zip(result.history, expected.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_sam_in_bf16_follows_full_precision(tmp_path):
    """The uphill pass is computed in bfloat16 too, the step uphill and the weights in float32."""
    results = [
        job.train(
            tmp_path / precision, options=options(sam_rho=0.05),
            settings=job.settings(precision=precision),
        )[1]
        for precision in ("32-true", "bf16-mixed")
    ]
    assert results[1].best_loss == pytest.approx(results[0].best_loss, rel=0.05)
    assert results[1].best_loss != results[0].best_loss


def test_a_batch_that_ranks_cannot_share_is_refused(tmp_path):
    with pytest.raises(EarthSignalsError, match="batch_size is 16, which 3 devices"):
        job.train(tmp_path, settings=job.settings(devices=3))


def test_bf16_trains_close_to_full_precision(tmp_path, unbroken):
    """bfloat16 has 8 bits of mantissa: the loss must follow within some percent, not exactly."""
    _, result = job.train(tmp_path, settings=job.settings(precision="bf16-mixed"))
    exact = unbroken[1].best_loss
    assert result.best_loss == pytest.approx(exact, rel=0.05)
    assert result.best_loss != exact


# --- checkpoints


CONTENT = {"mean": 1.5, "lines": "abc", "sizes": [1, 2], "nested": {"table": torch.arange(3.0)}}


def test_checkpoint_round_trip(tmp_path):
    model = job.network()
    save_checkpoint(tmp_path / "m.pt", "tdlas", model.state_dict(), CONTENT)
    content = load_checkpoint(tmp_path / "m.pt", "tdlas")
    assert same(content["state_dict"], model.state_dict())
    assert content["mean"] == 1.5
    assert content["sizes"] == [1, 2]
    assert torch.equal(content["nested"]["table"], torch.arange(3.0))
    assert (content["kind"], content["format_version"]) == ("tdlas", 1)


def test_checkpoint_bytes_do_not_depend_on_process_or_view(tmp_path, monkeypatch):
    """The temporary name holds the process id, and torch would embed it when saving by path."""
    table = torch.arange(12.0).reshape(3, 4)
    save_checkpoint(tmp_path / "a" / "m.pt", "x", {"w": table.T}, {})
    monkeypatch.setattr(os, "getpid", lambda: 123456)
    save_checkpoint(tmp_path / "b" / "m.pt", "x", {"w": table.T.contiguous()}, {})
    assert md5_file(tmp_path / "a" / "m.pt") == md5_file(tmp_path / "b" / "m.pt")
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["m.pt"]


@pytest.mark.parametrize("payload", [{"a": object()}, {"a": {1, 2}}, {"kind": "y"}])
def test_checkpoints_hold_plain_values_only(tmp_path, payload):
    with pytest.raises(EarthSignalsError):
        save_checkpoint(tmp_path / "m.pt", "x", {}, payload)
    assert not (tmp_path / "m.pt").exists()


class Trap:
    """Runs a command when unpickled."""

    def __reduce__(self):
        return os.system, ("touch trapped",)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def _flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[content.find(torch.ones(8).numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "fault, told",
    [
        (_truncate, "truncated"),
        (_flip_a_bit, "damaged .*checksum"),
        (lambda path: path.write_bytes(b""), "not a checkpoint"),
        (lambda path: path.write_bytes(pickle.dumps(Trap())), "a pickle, which is never loaded"),
        (lambda path: torch.save({"state_dict": Trap()}, path), "never loaded"),
        (lambda path: torch.save([1, 2], path), "no earthsignals checkpoint"),
        (lambda path: save_checkpoint(path, "seismic", {}, {}), "of kind 'seismic'.*'tdlas'"),
        (
            lambda path: torch.save({"format_version": 99, "kind": "x", "state_dict": {}}, path),
            "format 99.*update",
        ),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
def test_bad_checkpoints_are_refused(tmp_path, monkeypatch, fault, told):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "best_model.pt"
    save_checkpoint(path, "tdlas", {"w": torch.ones(8)}, {})
    fault(path)
    with pytest.raises(EarthSignalsError, match=told) as refusal:
        load_checkpoint(path, "tdlas")
    assert "best_model.pt" in str(refusal.value)
    assert not (tmp_path / "trapped").exists()


def test_importing_the_package_imports_neither_torch_nor_lightning():
    code = "import sys, earthsignals.training; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
