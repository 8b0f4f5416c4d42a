# %% [markdown]
"""Prune a network and inspect the result.

A notebook as a script: editors that support ``# %%`` run it cell by cell, and
``python -m examples.notebook`` runs all of it and saves the figures to a folder.

It prunes the demo's ResNet-20 on a subset of Fashion-MNIST (or on 5,000 images of MNIST if that is
not available). Needs a running service: ``secateur serve`` in another terminal.
"""

# %% Options
import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from examples.data import TEST, TRAIN, VALIDATION, load_images
from examples.export_model import export_resnet20
from examples.packages import DataUnavailableError
from secateur import Client, SecateurError

parser = argparse.ArgumentParser(
    prog="python -m examples.notebook",
    description="Prune ResNet-20 step by step and draw its saliency curves and its retraining.",
)
parser.add_argument("--macs", type=float, default=0.5, help="fraction to keep (default 0.5)")
parser.add_argument("--epochs", type=int, default=2, help="epochs of retraining (default 2)")
parser.add_argument(
    "--num-images",
    type=int,
    default=10_000,
    help="training images (default 10,000); half as many for tests",
)
parser.add_argument("--out", type=Path, default=Path("notebook-output"))
parser.add_argument(
    "--url", help="service URL (default: SECATEUR_URL, or the local secateur serve)"
)
options, _ = parser.parse_known_args()  # a notebook kernel passes its own arguments
options.out.mkdir(parents=True, exist_ok=True)

# %% Data and network
try:
    images = load_images()
except DataUnavailableError as error:
    raise SystemExit(f"notebook: {error}") from error
sizes = {
    TRAIN: options.num_images,
    VALIDATION: options.num_images // 2,
    TEST: options.num_images // 2,
}
chosen = np.concatenate([np.flatnonzero(images.split == k)[:size] for k, size in sizes.items()])
print(f"{images.name}: {len(chosen):,} of {len(images.y):,} images")
folder = Path(tempfile.mkdtemp(prefix="secateur-"))
np.savez_compressed(
    folder / "data.npz",
    x=images.x[chosen],
    y=images.y[chosen],
    split=images.split[chosen],
    class_names=np.array(images.class_names),
)
export_resnet20(images.name, folder / "model.pt2")

# %% Upload
try:
    client = Client(options.url)
    model = client.push(folder / "model.pt2", name="resnet20")
    data = client.push_dataset(folder / "data.npz", preprocess=images.preprocess())
except SecateurError as error:
    raise SystemExit(f"notebook: {error}") from error
print(model.id, data.id)

# %% Preview: a plan takes a second and changes nothing
config = {
    "selection": {"mode": "budget", "macs": options.macs},
    "retrain": {"epochs": options.epochs, "augment": {"crop": 2, "flip": True}},
}
plan = client.plan(model, data, config)
print({name: f"{share:.1%}" for name, share in plan.left.items()})
for group in plan.groups:
    print(f"{group['name']:28} {group['num_groups']:4} -> {group['num_kept']}")

# %% Prune and print every epoch
job = client.prune(model, data, config)
for event in job.events():
    if event.type == "metric" and event.data.get("kind") == "epoch":
        print(f"epoch {event.data['epoch']}: validation {event.data['validation_metric']:.4f}")
job = job.wait()
job.download(options.out, overwrite=True)
report = json.loads((options.out / "report.json").read_text())

# %% Before and after
for name in ("dense", "pruned", "retrained"):
    network = report[name]
    test = next(m for m in network["metrics"] if m["split"] == "test")
    batch = network["latency_seconds"][0]
    print(
        f"{name:10} accuracy {test['top1']:.2%}  MACs {network['macs']:,}  "
        f"parameters {network['num_parameters']:,}  {1e3 * batch['p50']:.2f} ms"
    )

# %% Saliency curves: the removed filters of each layer
figure, axes = plt.subplots(3, 4, figsize=(12, 6), layout="constrained")
for panel, group in zip(axes.flat, report["groups"], strict=False):
    num_removed = group["num_groups"] - group["num_kept"]
    places = np.arange(group["num_groups"])
    colours = np.where(places < num_removed, "#c2502f", "#12714d")
    panel.bar(places, group["saliency"], width=1, color=colours)
    panel.set_title(f"{group['name']}  {group['num_groups']} → {group['num_kept']}", fontsize=8)
    panel.tick_params(labelsize=7)
figure.suptitle("Saliency of each layer's filters, ascending; red is removed")
figure.savefig(options.out / "saliency.png", dpi=120)

# %% Retraining, and the range test that found its learning rate
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
epochs = [epoch["epoch"] for epoch in report["history"]]
left.plot(epochs, [100 * e["validation_metric"] for e in report["history"]], "o-", color="#12714d")
dense = next(m for m in report["dense"]["metrics"] if m["split"] == "validation")
left.axhline(100 * dense["top1"], linestyle=":", color="black", label="dense")
left.set(xlabel="epoch", ylabel="validation accuracy, percent", xticks=epochs)
left.legend()
rates, losses = zip(*report["range_test"]["curve"], strict=True)
right.semilogx(rates, losses, color="#12714d")
right.axvline(report["learning_rate"], linestyle="--", color="#2f62b5", label="used")
right.set(xlabel="learning rate", ylabel="smoothed training loss")
right.legend()
figure.savefig(options.out / "retraining.png", dpi=120)

# %% Run the dense and the pruned network on test images
pixels, labels = images.part(TEST)
shown = 10
answers = client.infer(job, images.normalise(pixels[:shown]), variant="both")
figure, axes = plt.subplots(1, shown, figsize=(14, 2), layout="constrained")
for panel, image, label, base, pruned in zip(
    axes, pixels, labels, answers.base, answers.pruned, strict=False
):
    panel.imshow(image[0], cmap="gray_r")
    names = [images.class_names[k] for k in (label, base.argmax(), pruned.argmax())]
    panel.set_title("\n".join(names), fontsize=7)
    panel.set_axis_off()
figure.suptitle("truth, dense, pruned", fontsize=8)
figure.savefig(options.out / "answers.png", dpi=120)
print(
    f"both networks agree on {answers.agreement:.0%} of the images; "
    f"report: {options.out / 'report.html'}"
)
client.close()
