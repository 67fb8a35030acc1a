"""A training that was killed while ESPnet wrote a file goes on, or begins again."""

import pytest
import torch
from espnet2.train.reporter import Reporter

from espnet_adaptive_dropout.compress.resume import make_resumable
from espnet_adaptive_dropout.experiments.experiment import load_state


@pytest.fixture
def training(tmp_path):
    """A training after two epochs, with the files as ESPnet writes them."""
    model = torch.nn.Linear(20, 30)
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-3, total_steps=10, cycle_momentum=False
    )
    reporter = Reporter()
    for epoch in (1, 2):
        model(torch.ones(1, 20)).sum().backward()
        optimizer.step()
        scheduler.step()
        reporter.set_epoch(epoch)
        with reporter.observe("valid") as sub:
            sub.register({"loss": torch.tensor(1.0 / epoch)})
            sub.next()
        torch.save(model.state_dict(), tmp_path / f"{epoch}epoch.pth")
    content = {
        "model": model.state_dict(),
        "reporter": reporter.state_dict(),
        "optimizers": [optimizer.state_dict()],
        "schedulers": [scheduler.state_dict()],
        "scaler": None,
    }
    torch.save(content, tmp_path / "checkpoint.pth")
    (tmp_path / "latest.pth").symlink_to("2epoch.pth")
    (tmp_path / "train.log").write_text("epoch 2")
    return tmp_path


def content_of(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def cut_short(path, share):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def test_a_sound_training_stays_as_it_is(training):
    before, said = content_of(training), []
    make_resumable(training, said.append)
    assert content_of(training) == before
    assert said == ["the training was interrupted: it goes on after epoch 2"]


def test_a_training_that_has_not_begun(tmp_path):
    make_resumable(tmp_path, pytest.fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_checkpoint_that_was_cut_short_ends_in_a_new_training(training, share):
    cut_short(training / "checkpoint.pth", share)
    said = []
    make_resumable(training, said.append)
    assert len(said) == 1 and "cannot be read: it begins again" in said[0]
    assert [path.name for path in training.iterdir()] == ["train.log"]


@pytest.mark.parametrize("share", [None, 0.0, 0.7])
def test_the_model_of_the_last_epoch_is_completed(training, share):
    model_file = training / "2epoch.pth"
    expected = torch.load(model_file)
    if share is None:
        model_file.unlink()
    else:
        cut_short(model_file, share)
    said = []
    make_resumable(training, said.append)
    assert len(said) == 1 and "it goes on after epoch 2" in said[0]
    found = load_state(model_file)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
