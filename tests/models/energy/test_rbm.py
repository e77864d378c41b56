"""RBM: its law, its chains and its steps against sums over all states of a tiny machine."""

import copy

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

import zoo
from zoo.contract.saved import published_state
from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageSpec
from zoo.functional.annealing import constant
from zoo.models import RBM
from zoo.models.energy import rbm
from zoo.training.callbacks import SeedEachBatch

TINY = ImageSpec(1, 2, 3)
STATES = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6).view(-1, 1, 2, 3)


def tiny(**options):
    """A machine of 6 and 4 units, its average with weights that matter."""
    torch.manual_seed(0)
    model = RBM(TINY, hidden=4, **options).eval()
    net = model.average.module
    for weight, std in ((net.w, 1.5), (net.b, 0.5), (net.c, 0.5)):
        torch.nn.init.normal_(weight, std=std)
    return model


def log_weights(model):
    """log p + log Z of all states, from the definition of the energy; float64."""
    net = model.average.module
    w, b, c = (p.double() for p in (net.w, net.b, net.c))
    h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 4)
    v = STATES.flatten(1).double()
    return ((v @ b)[:, None] + h @ c + v @ w @ h.T).logsumexp(1)


def frequencies(images):
    places = (images.flatten(1) @ 2.0 ** torch.arange(5, -1, -1)).long()
    return torch.bincount(places, minlength=64).double() / len(images)


def test_the_law_is_the_enumerated_one_and_sums_to_1():
    """Rejects log Z added, and one that is of a machine without its hidden units."""
    model = tiny()
    model.settle(2000)
    exact = log_weights(model)
    assert abs(model.log_z - exact.logsumexp(0)) < 3 * model.log_z_error < 0.1
    wanted = exact - exact.logsumexp(0)
    torch.testing.assert_close(model.log_prob(STATES).double(), wanted, rtol=0, atol=0.05)
    torch.testing.assert_close(model.log_prob(STATES * 0.4 + 0.2), model.log_prob(STATES))


def test_both_walks_find_the_constant():
    model = tiny(warming=100, burn_in=50)
    exact = log_weights(model).logsumexp(0)
    there = constant(model.anneal(temperatures=500, chains=200).double())
    back = constant(-model.anneal(temperatures=500, chains=200, reverse=True).double())
    assert there.standard_error < 0.03 and abs(there.log_z - exact) < 3 * there.standard_error
    assert back.standard_error < 0.03 and abs(back.log_z + exact) < 4 * back.standard_error


def test_samples_and_completions_follow_the_enumerated_law():
    """Rejects chains that are read before they have burnt in, and known pixels that move."""
    model = tiny(warming=20, burn_in=30)
    p = log_weights(model).softmax(0)
    assert (frequencies(model.sample(20_000, seed=0)) - p).abs().max() < 0.015
    assert (torch.full((64,), 1 / 64) - p).abs().max() > 0.05
    x = STATES[40].expand(20_000, 1, 2, 3)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    done = model.complete(x, mask, seed=1)
    assert torch.equal(done[:, 0, ~mask], x[:, 0, ~mask])
    fits = (STATES[:, 0, ~mask] == STATES[40, 0, ~mask]).all(1)
    given = torch.where(fits, p, 0) / p[fits].sum()
    assert (frequencies(done) - given).abs().max() < 0.015


def plain(**options):
    return L.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu",
        enable_model_summary=False, use_distributed_sampler=False, **options,
    )  # fmt: skip


BITS = (torch.rand(40, 1, 2, 3, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def fitted(tmp_path, batches, **options):
    torch.manual_seed(0)
    model = RBM(TINY, hidden=4, **options)
    loader = DataLoader(BITS, batch_size=20)
    plain(max_steps=batches, default_root_dir=tmp_path).fit(model, loader)
    return model


@pytest.mark.filterwarnings("ignore")
def test_a_step_descends_autograds_gradient_at_the_chains_states(tmp_path, monkeypatch):
    """Rejects swapped phases, a chain's state before the step, and decay of biases."""
    seen = []
    before = RBM._descend

    def descend(self, slopes):
        seen.append(copy.deepcopy(self.network))
        before(self, slopes)
        seen.append((copy.deepcopy(self.network), self.particles.clone()))

    monkeypatch.setattr(RBM, "_descend", descend)
    fitted(tmp_path, 1, lr=0.5, momentum=0.0, weight_decay=0.1, chains=7)
    old, (new, particles) = seen

    def free(v):
        return (-v @ old.b - F.softplus(old.c + v @ old.w).sum(1)).mean()

    slopes = torch.autograd.grad(free(BITS[:20].flatten(1)) - free(particles),
                                 (old.w, old.b, old.c))  # fmt: skip
    decay = (0.1 * old.w, 0, 0)
    for now, then, slope, more in zip(
        new.parameters(), old.parameters(), slopes, decay, strict=True
    ):
        torch.testing.assert_close(now, then - 0.5 * (slope + more))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("persistent", [True, False])
def test_chains_go_on_where_they_stood_or_start_at_the_data(tmp_path, monkeypatch, persistent):
    """Rejects contrastive divergence taken for persistent chains, and the reverse."""
    starts, draw = [], rbm.draw_hidden

    def watched(machine, v, generator):
        starts.append(v.clone())
        return draw(machine, v, generator)

    monkeypatch.setattr(rbm, "draw_hidden", watched)
    model = fitted(tmp_path, 2, persistent=persistent, steps=3, chains=5)
    assert len(starts) == 6
    if persistent:
        assert len(starts[3]) == 5 and not torch.equal(starts[3], starts[0])
        assert model.state_dict()["particles"].shape == (5, 6)
        assert "particles" not in published_state(model, half=False)
    else:
        assert torch.equal(starts[0], BITS[:20].flatten(1))
        assert torch.equal(starts[3], BITS[20:].flatten(1))
    assert all(((v == 0) | (v == 1)).all() for v in starts), "chains hold draws, not probabilities"


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_ends_bit_by_bit_as_the_whole_one(tmp_path):
    """Rejects chains that begin anew, and means that forget."""

    class Keep(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 0:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    def run(*callbacks, **more):
        torch.manual_seed(0)
        model = RBM(ImageSpec(1, 8, 8, 10), hidden=8, centred=True, chains=10)
        data = DATASETS["Digits"](binarize="dynamic", batch_size=50)
        trainer = plain(max_epochs=2, limit_train_batches=5, default_root_dir=tmp_path,
                        callbacks=[SeedEachBatch(0), *callbacks])  # fmt: skip
        trainer.fit(model, data, **more)
        return model.state_dict()

    whole = run(Keep())
    again = run(ckpt_path=tmp_path / "half.ckpt")
    assert whole["particles"].std() > 0.1 and int(whole["seen"]) == 10
    for name, tensor in whole.items():
        assert torch.equal(again[name], tensor), name


@pytest.mark.filterwarnings("ignore")
def test_what_is_settled_travels_with_the_weights_and_ends_with_a_step(tmp_path, monkeypatch):
    model = tiny()
    model.settle(50)
    model.save(tmp_path / "saved")
    again = zoo.load(tmp_path / "saved")
    monkeypatch.setattr(RBM, "settle", None)  # nothing is left to find out
    assert again.log_z == model.log_z != 0 and again.log_z_error == model.log_z_error > 0
    assert torch.equal(again.log_prob(STATES), model.log_prob(STATES))
    plain(max_steps=1, default_root_dir=tmp_path).fit(model, DataLoader(BITS, batch_size=20))
    assert not int(model.log_z_temperatures)


@pytest.mark.filterwarnings("ignore")
def test_learning_raises_the_enumerated_likelihood(tmp_path):
    """Rejects an average that does not follow, and a rate that does not fall."""
    torch.manual_seed(0)
    x = STATES[[7, 56, 21]].repeat(10, 1, 1, 1)  # three images, alike in nothing but number
    model = RBM(TINY, hidden=8, centred=True, lr=0.3, ema_decay=0.9)
    plain(max_epochs=150, default_root_dir=tmp_path).fit(model, DataLoader(x, batch_size=30))
    model.settle(1000)
    assert model.log_prob(STATES[[7, 56, 21]]).mean() > -2.4  # -1.1 is all; independent: -4.2
    assert model.network.w.grad is not None
    assert all(group["lr"] < 0.003 for group in model.optimizers().param_groups)


@pytest.mark.parametrize(
    "wrong", [{"hidden": 0}, {"chains": 0}, {"steps": 0}, {"sigma": 0.0}, {"momentum": 1.0},
              {"visible": "grey"}, {"warming": 0}],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        RBM(TINY, **wrong)
