"""Data sets: from an uploaded file to preprocessed batches, with bounded memory."""

from worker.pipeline.data.dataset import Dataset
from worker.pipeline.data.opening import open_dataset
from worker.pipeline.data.splits import Split

__all__ = ["Dataset", "Split", "open_dataset"]
