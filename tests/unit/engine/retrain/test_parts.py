import pytest
import torch

from secateur.engine.errors import DataError
from secateur.engine.metrics import evaluate
from secateur.engine.program.module import ProgramModule
from secateur.engine.retrain import AugmentOptions
from secateur.engine.retrain.augment import Augmentation
from secateur.engine.retrain.schedule import one_cycle
from tests.unit.engine.retrain.networks import small_data, small_program


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_crop_is_a_window_of_the_image_with_its_border_repeated() -> None:
    x = torch.arange(2 * 3 * 5 * 6.0).reshape(2, 3, 5, 6).repeat(20, 1, 1, 1)
    found = Augmentation(AugmentOptions(crop=2))(x, generator())
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    offsets = set()
    for before, after in zip(padded, found, strict=True):
        windows = {
            (i, j) for i in range(5) for j in range(5)
            if torch.equal(before[:, i : i + 5, j : j + 6], after)
        }  # fmt: skip
        assert len(windows) == 1
        offsets |= windows
    assert len(offsets) > 10, "every sample draws its own offset"


def test_about_half_of_the_images_are_mirrored() -> None:
    x = torch.randn(200, 1, 4, 4)
    found = Augmentation(AugmentOptions(flip=True))(x, generator())
    is_mirrored = (found == x.flip(3)).flatten(1).all(1)
    assert (is_mirrored | (found == x).flatten(1).all(1)).all()
    assert 70 < int(is_mirrored.sum()) < 130


def test_without_options_the_batch_is_left_alone() -> None:
    x = torch.randn(2, 3)
    assert Augmentation(AugmentOptions())(x, generator()) is x


def test_only_images_can_be_cropped() -> None:
    with pytest.raises(DataError, match="images"):
        Augmentation(AugmentOptions(crop=1))(torch.randn(2, 3), generator())


def test_the_schedule_is_pytorchs_one_cycle() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=50, pct_start=0.2, cycle_momentum=False
    )
    for step in range(50):
        assert one_cycle(step, 50, 0.1, 0.2) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        if step < 49:
            theirs.step()


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_a_schedule_of_few_steps_stays_within_its_peak(num_steps: int) -> None:
    rates = [one_cycle(step, num_steps, 0.1, 0.15) for step in range(num_steps)]
    assert all(0 < rate <= 0.1 for rate in rates)


def test_metrics_do_not_depend_on_the_batch_size() -> None:
    program, data = small_program(), small_data()
    whole = evaluate(program, data.source, data.train, batch_size=1000)
    parts = evaluate(program, data.source, data.train, batch_size=7)
    assert parts.top1 == whole.top1
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    x, y = data.source.batch(data.train)
    assert y is not None
    logits = ProgramModule(program).eval().run((x,))[0]
    assert whole.top1 == int((logits.argmax(1) == y).sum()) / len(y)
    assert whole.num_samples == len(data.train)
