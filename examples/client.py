"""The three steps over HTTP: post model, data and config; poll; infer.

Usage: SECATEUR_KEY=sec_… python -m examples.client MODEL.pt2 DATA.npz IMAGE.png
"""

import argparse
import json
import os
from pathlib import Path

import httpx

CONFIG = {"selection": {"mode": "budget", "macs": 0.5}}


def main() -> None:
    """Prune a model and ask the result about one image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--preprocess", default="{}", help='such as {"mean": [0.5], "std": [0.5]}')
    options = parser.parse_args()
    key = os.environ["SECATEUR_KEY"]  # noqa: TID251  # a script of the user's, not the service
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=options.url, headers=headers, timeout=120) as client:
        files = {"model": options.model.open("rb"), "dataset": options.data.open("rb")}
        form = {"config": json.dumps(CONFIG), "preprocess": options.preprocess}
        job = client.post("/v1/jobs", data=form, files=files).raise_for_status().json()
        while job["status"] not in ("succeeded", "failed", "cancelled", "expired"):
            job = client.get(f"/v1/jobs/{job['id']}", params={"wait": 30}).json()
            print(job["status"], job["stage"] or "", (job["progress"] or {}).get("message", ""))
        if job["status"] != "succeeded":
            raise SystemExit(f"{job['id']} {job['status']}: {job['error']}")
        print(json.dumps(job["result"]["summary"]["retrained"]["metrics"], indent=1))
        image = {"file": options.image.open("rb")}
        answer = client.post(job["result"]["infer_url"], files=image).raise_for_status().json()
        print(answer["labels"][0])


if __name__ == "__main__":
    main()
