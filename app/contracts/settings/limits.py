"""Limits on files, and quotas of a tenant."""

from typing import Annotated

from pydantic import Field

from app.contracts.settings.fields import GIBIBYTE, MEBIBYTE, Bytes, Count, Group


class LimitSettings(Group):
    """Limits on uploads, bodies, models and data sets."""

    model_bytes: Bytes = Field(default=2 * GIBIBYTE, description="Largest model file.")
    dataset_bytes: Bytes = Field(default=8 * GIBIBYTE, description="Largest data set file.")
    latencies_bytes: Bytes = Field(
        default=4 * MEBIBYTE, description="Largest file of latencies that a device measured."
    )
    latencies_rows: Count = Field(
        default=20_000, description="Rows of such a file, one for each layer, width and precision."
    )
    json_bytes: Bytes = Field(default=1 * MEBIBYTE, description="Largest JSON body.")
    infer_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest body of an inference request."
    )
    image_pixels: Count = Field(
        default=25_000_000, description="Pixels of one image, in a data set or for inference."
    )
    model_members: Count = Field(default=20_000, description="Entries in a .pt2 file.")
    graph_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest JSON entry in a .pt2 file."
    )
    graph_nodes: Count = Field(default=50_000, description="Calls in a model's graph.")
    tensor_rank: Annotated[int, Field(ge=4, le=64)] = Field(
        default=8, description="Dimensions of a tensor that a model stores or computes."
    )
    tensor_elements: Count = Field(
        default=2**30, description="Total elements of all tensors that a model stores."
    )
    activation_bytes: Bytes = Field(
        default=4 * GIBIBYTE,
        description="Activations of a model that are in memory at once, for two samples, and what "
        "its operators hold inside.",
    )
    macs: Count = Field(
        default=10**12,
        description="Multiply-accumulates for one sample; any other operation counts as one per "
        "element it computes.",
    )
    dataset_members: Count = Field(default=2_000_000, description="Files in a zip or tar.")
    unpacked_bytes: Bytes = Field(
        default=64 * GIBIBYTE, description="Size of an unpacked data set on the worker's disk."
    )
    inflate_ratio: Count = Field(
        default=100,
        description="Ratio of unpacked to packed size of image files, tars and Parquet files.",
    )
    array_inflate_ratio: Count = Field(
        default=500, description="Ratio of unpacked to packed size of the arrays in a .npz file."
    )
    image_file_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest image file in a data set."
    )
    annotation_bytes: Bytes = Field(
        default=512 * MEBIBYTE,
        description="Largest file of boxes, texts or class names in a data set.",
    )
    samples: Count = Field(default=10_000_000, description="Samples in a data set.")
    sample_values: Count = Field(default=75_000_000, description="Values in one sample.")
    classes: Count = Field(default=100_000, description="Classes in a data set.")
    label_values: Count = Field(
        default=2**27, description="Label values in a data set, over all samples."
    )


class QuotaSettings(Group):
    """Quotas of one tenant; `GET /v1/quotas` shows each limit and its use."""

    stored_bytes: Bytes = Field(
        default=1024 * GIBIBYTE,
        description="Total size of stored uploads, artifacts, and events and results of jobs.",
    )
    uploads: Count = Field(default=64, description="Concurrent uploads to one API process.")
    upload_bytes: Bytes = Field(
        default=64 * GIBIBYTE,
        description="Total size of unfinished uploads to one API process, as declared or received. "
        "They also count toward `STORED_BYTES`.",
    )
    queued_jobs: Count = Field(
        default=20_000, description="Jobs of any kind that are queued or paused."
    )
    running_jobs: Count = Field(
        default=100, description="Concurrently running pruning jobs; further jobs wait."
    )
    running_intakes: Count = Field(
        default=2,
        description="Uploads that are checked, and plans that are made, at the same time; more of "
        "them wait. Below the 3 that one intake worker runs, so that others never wait for one.",
    )
    keys: Count = Field(
        default=200,
        description="API keys that are valid or younger than a day; more cannot be created by the "
        "API.",
    )
    compute_seconds: Annotated[float, Field(gt=0)] = Field(
        default=100 * 86_400.0, description="Compute time of all jobs per day (UTC)."
    )
    event_streams: Count = Field(default=256, description="Open event streams at one API process.")
    waiting_requests: Count = Field(
        default=256,
        description="Concurrent requests to one API process that wait for a job or a plan.",
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="Largest share of an API process's requests, event streams and bytes of bodies "
        "that one tenant may hold, out of what the other tenants leave free. 0.5: one tenant gets "
        "a half, two get a third each, and some are left for the next. 1: all of them.",
    )
    requests_per_second: Count = Field(
        default=10_000,
        description="Requests per second to one API process; bursts up to this number are fine.",
    )
