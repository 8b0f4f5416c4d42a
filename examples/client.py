"""Prune a model and run the result from Python: upload and start a job, wait, infer.

Usage: python -m examples.client MODEL.pt2 DATA.npz IMAGE.png
"""

import argparse
import json
from pathlib import Path

from secateur import Client


def main() -> None:
    """Prune a model and classify one image with the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument(
        "--url", help="service URL (default: SECATEUR_URL, or the local secateur serve)"
    )
    parser.add_argument("--preprocess", help='JSON such as {"mean": [0.5], "std": [0.5]}')
    options = parser.parse_args()
    preprocess = json.loads(options.preprocess) if options.preprocess else None
    with Client(options.url) as client:  # key: SECATEUR_KEY, or the local key file
        config = {"selection": {"mode": "budget", "macs": 0.5}}
        job = client.prune(options.model, options.data, config, preprocess=preprocess)
        job = job.wait(on_progress=lambda now: print(now.status, now.stage or ""))
        if job.result is not None:
            print(job.result.summary.retrained.metrics)
        print(job.infer_image(options.image))


if __name__ == "__main__":
    main()
