"""Data sets: from an uploaded file to preprocessed batches, with bounded memory."""

from worker.pipeline.data.dataset import Dataset, Split, open_dataset

__all__ = ["Dataset", "Split", "open_dataset"]
