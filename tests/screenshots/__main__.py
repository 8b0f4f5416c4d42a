"""``make screenshots``: take the dashboard screenshots in ``docs/images`` from a real job.

Starts a service, uploads ResNet-20 and Fashion-MNIST, prunes and retrains, runs a sweep over
budgets with a subset of the images, and takes screenshots in Chromium at desktop and phone widths.
Takes about half an hour on two cores. With ``--data-dir``, a second run reuses the results of the
first and takes a minute.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from examples.data import TEST, TRAIN, VALIDATION, Images, load_images
from examples.export_model import export_resnet20
from tests.fixtures.browser import PHONE, Tab, running_browser
from tests.fixtures.service import FINAL, Service, serving

FOLDER = Path(__file__).parents[2] / "docs" / "images"
CONFIG = {
    "selection": {"mode": "steepness", "round_to": 8},
    "retrain": {"epochs": 3, "augment": {"crop": 2, "flip": True}},
}
SWEEP = {
    "config": {"selection": {"mode": "budget", "round_to": 4}, "retrain": {"epochs": 1}},
    "grid": {"/selection/macs": [0.7, 0.5, 0.3], "/criterion/kind": ["l1", "taylor"]},
}
SWEEP_TRAIN = 9000
HELD_OUT = {VALIDATION: 1000, TEST: 2000}
LONGEST_SECONDS = 3600
_PHONE_SCALE = 2
_COLOURS = 256


@dataclass(frozen=True)
class Studio:
    """Browser and service for the screenshots."""

    browser: Browser
    service: Service

    @contextmanager
    def at(self, path: str, **options: Any) -> Iterator[Tab]:
        """Open a page of the dashboard."""
        tab = Tab(self.browser, self.service.url, **options)
        tab.page.goto(f"{tab.base}/#key={self.service.key}&to={path}")
        tab.settle()
        yield tab
        tab.close()

    def take(
        self, name: str, path: str, arrange: Callable[[Tab], None] | None = None, **options: Any
    ) -> None:
        """Take a screenshot of a page after ``arrange`` has scrolled or waited."""
        with self.at(path, **options) as tab:
            if arrange is not None:
                arrange(tab)
                tab.settle()
            write(name, tab)

    def take_phone(
        self, name: str, path: str, arrange: Callable[[Tab], None] | None = None
    ) -> None:
        """Take a screenshot at phone size."""
        options = {"viewport": PHONE, "device_scale_factor": _PHONE_SCALE}
        self.take(f"{name}-phone", path, arrange, **options)


def main() -> None:
    """Take all screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="Data directory of the service. Results of an earlier run are reused.",
    )
    parser.add_argument(
        "--train-images",
        type=int,
        help="Training images of the job and the sweep, to renew the pictures sooner.",
    )
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    images = load_images()
    if options.train_images is not None:
        images = some_of(images, options.train_images)
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(options.data_dir or Path(scratch) / "data") as service,
        running_browser() as browser,
    ):
        studio, folder = Studio(browser, service), Path(scratch)
        photos = write_photos(images, folder)
        model = upload_model(service, images, folder)
        part = upload_images(service, some_of(images, SWEEP_TRAIN), "fashion-mnist-part", folder)
        dataset = upload_images(service, images, "fashion-mnist", folder)
        before(studio, model)
        job = find(service, "jobs", sweep=None)
        if job is None:
            job = service.post_job(model=model, dataset=dataset, config=CONFIG)
            during(studio, job)
        done = wait(service, f"/v1/jobs/{job}")
        after(studio, job, model)
        trying(studio, done["result"]["model"], photos)
        sweep = find(service, "sweeps")
        if sweep is None:
            body = {"model": model, "dataset": part, **SWEEP}
            response = service.client.post("/v1/sweeps", json=body)
            sweep = str(response.raise_for_status().json()["id"])
            studio.take("queue", "/queues")
        wait(service, f"/v1/sweeps/{sweep}")
        studio.take("sweep", f"/sweeps/{sweep}")
        studio.take("overview", "/")
        studio.take_phone("overview", "/")


def before(studio: Studio, model: str) -> None:
    """Take the pages of a model and of a new job with its preview."""
    studio.take("model", f"/models/{model}")

    def wait_for_preview(tab: Tab) -> None:
        tab.page.get_by_text("filters removed.").wait_for(timeout=LONGEST_SECONDS * 1000)

    studio.take("new-job", f"/jobs/new?model={model}", wait_for_preview)


def during(studio: Studio, job: str) -> None:
    """Take the job's page during training, after two epochs."""

    def wait_for_epochs(tab: Tab) -> None:
        tab.page.get_by_role("img", name="in 2 of 3 epochs").wait_for(
            timeout=LONGEST_SECONDS * 1000
        )

    studio.take("job-live", f"/jobs/{job}", wait_for_epochs)


def after(studio: Studio, job: str, model: str) -> None:
    """Take the finished job's page in the light and dark theme and on a phone."""
    path = f"/jobs/{job}"
    studio.take("job", path)
    studio.take("job-curves", path, to_curves)
    studio.take("job-curves-dark", path, to_curves, color_scheme="dark")
    studio.take_phone("job", path)
    studio.take_phone("job-curves", path, to_curves)
    studio.take_phone("model", f"/models/{model}")


def trying(studio: Studio, model: str, photos: dict[str, Path]) -> None:
    """Take the comparison of both networks on a shirt, the hardest class."""

    def drop(tab: Tab) -> None:
        tab.page.locator('input[type="file"]').set_input_files(photos["Shirt"])
        tab.page.locator(".agreement").wait_for()

    studio.take("try", f"/try?model={model}", drop)
    studio.take_phone("try", f"/try?model={model}", drop)


def to_curves(tab: Tab) -> None:
    """Scroll the curves into view."""
    heading = tab.page.get_by_role("heading", name="Saliency curves")
    heading.evaluate("(each) => each.closest('.panel').scrollIntoView()")
    tab.page.evaluate("scrollBy(0, innerWidth < 800 ? -72 : -20)")  # a phone has a sticky header


def write(name: str, tab: Tab) -> None:
    """Write a screenshot of the tab as a PNG with a palette."""
    tab.page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(tab.page.screenshot()))
    flat = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    flat.save(FOLDER / f"{name}.png", optimize=True)


def upload_model(service: Service, images: Images, folder: Path) -> str:
    """Upload the trained network unless it exists. Return its id."""
    if (found := find(service, "models", name="resnet20", version="1")) is not None:
        return found
    export_resnet20(images.name, folder / "model.pt2")
    data = (folder / "model.pt2").read_bytes()
    return ready(service.upload("models", data, name="resnet20", filename="resnet20.pt2"))


def upload_images(service: Service, images: Images, name: str, folder: Path) -> str:
    """Upload labelled images with their preprocessing unless they exist. Return the id."""
    if (found := find(service, "datasets", name=name)) is not None:
        return found
    images.write_npz(folder / "data.npz")
    data = (folder / "data.npz").read_bytes()
    preprocess = json.dumps(images.preprocess())
    params = {"name": name, "filename": f"{name}.npz", "preprocess": preprocess}
    return ready(service.upload("datasets", data, **params))


def some_of(images: Images, num_train: int) -> Images:
    """Return the first images of every split."""
    sizes = {TRAIN: num_train, **HELD_OUT}
    chosen = np.concatenate(
        [np.flatnonzero(images.split == split)[:number] for split, number in sizes.items()]
    )
    return replace(images, x=images.x[chosen], y=images.y[chosen], split=images.split[chosen])


def write_photos(images: Images, folder: Path) -> dict[str, Path]:
    """Write one test image of every class as a file."""
    pixels, labels = images.part(TEST)
    found = {}
    for label, name in enumerate(images.class_names):
        path = folder / f"{name.lower().replace('/', '-').replace(' ', '-')}.png"
        Image.fromarray(pixels[labels == label][1].squeeze()).save(path)
        found[name] = path
    return found


def find(service: Service, kind: str, **wanted: object) -> str | None:
    """Return the id of the newest ready or succeeded item with these values, or None."""
    for item in service.get(f"/v1/{kind}?limit=100")["data"]:
        is_wanted = all(item[name] == value for name, value in wanted.items())
        if is_wanted and item["status"] in {"ready", "succeeded"}:
            return str(item["id"])
    return None


def wait(service: Service, path: str) -> dict[str, Any]:
    """Wait until a job or a sweep succeeds.

    Raises:
        RuntimeError: It ended otherwise.
    """
    found: dict[str, Any] = service.wait(
        lambda: service.get(path),
        lambda item: item["status"] in {*FINAL, "partial"},
        seconds=LONGEST_SECONDS,
    )
    if found["status"] != "succeeded":
        raise RuntimeError(f"{path} {found['status']}: {found}")
    return found


def ready(item: dict[str, Any]) -> str:
    """Return the id of a ready item.

    Raises:
        RuntimeError: The intake rejected it.
    """
    if item["status"] != "ready":
        raise RuntimeError(f"{item['id']} was rejected: {item['error']}")
    return str(item["id"])


if __name__ == "__main__":
    main()
