"""Titles of the config's fields for people, with units. `/v1/schemas` adds them to the schemas.

Keys are ``Spec.field``, or ``field`` where all specs mean the same by it.
"""

from typing import Any

TITLES = {
    # Shared by several specs.
    "max_ratio": "Most that one layer may lose (0.9 = 90 %)",
    "min_channels": "Fewest channels that a layer keeps",
    "round_to": "Round widths to a multiple of",
    "exclude": "Layers to leave alone",
    "target": "Device to prune for (uploaded latencies)",
    "precision": "Precision of the latencies",
    "norms": "Norms over removed channels",
    "layers": "Settings for single layers",
    "mode": "Method",
    "seed": "Random seed",
    # What to remove.
    "SteepnessSelection.steepness": "Steepness at which to cut",
    "RatioSelection.ratio": "Share of filters to remove (0.5 = 50 %)",
    "RatioSelection.scope": "Same share in every layer, or over all",
    "BudgetSelection.macs": "MACs to keep (0.5 = 50 %)",
    "BudgetSelection.params": "Parameters to keep (0.5 = 50 %)",
    "BudgetSelection.latency": "Latency to keep (0.5 = twice as fast)",
    "BudgetSelection.batch_size": "Batch size for measuring latency",
    "AccuracySelection.max_drop": "Largest loss of accuracy (0.01 = 1 point)",
    "AccuracySelection.unit": "Cost to minimise",
    "AccuracySelection.max_trials": "Sizes to try",
    "LayerOverride.ratio": "Share to remove (0.5 = 50 %)",
    "CriterionSpec.kind": "Importance measured by",
    "CriterionSpec.candidates": "Measures to compare",
    "CriterionSpec.reduction": "Combine scores of tied filters by",
    "CriterionSpec.normalization": "Make layers comparable by",
    "CriterionSpec.num_samples": "Samples to measure with",
    "CriterionSpec.compare": "Compare all measures with the exact loss",
    # Repair and training.
    "OneShotSchedule.kind": "Schedule",
    "IterativeSchedule.kind": "Schedule",
    "IterativeSchedule.rounds": "Rounds of pruning",
    "IterativeSchedule.ramp": "Last cut after this share of the training",
    "RepairSpec.kind": "Repair",
    "RepairSpec.num_samples": "Samples to repair with",
    "RepairSpec.ridge": "Hold on the old weights",
    "RetrainSpec.objective": "Learn from",
    "RetrainSpec.distill": "Learning from the dense network",
    "RetrainSpec.mode": "Train the small network, or a masked one",
    "RetrainSpec.epochs": "Epochs",
    "RetrainSpec.batch_size": "Batch size",
    "RetrainSpec.optimizer": "Optimiser",
    "RetrainSpec.augment": "Augmentation",
    "RetrainSpec.label_smoothing": "Label smoothing (0 to 1)",
    "RetrainSpec.ema": "Average of the weights: decay per step",
    "RetrainSpec.patience": "Early stopping: patience",
    "RetrainSpec.precision": "Number format",
    "RetrainSpec.compile": "Compile the network",
    "DistillSpec.weight": "Weight of the dense network (0 to 1)",
    "DistillSpec.temperature": "Temperature",
    "DistillSpec.features": "Weight of inner features",
    "ExportSpec.targets": "Runtimes and devices",
    "ExportSpec.opset": "ONNX opset of an additional file",
    "OptimizerSpec.kind": "Optimiser",
    "OptimizerSpec.learning_rate": "Peak learning rate",
    "OptimizerSpec.schedule": "Learning-rate schedule",
    "OptimizerSpec.warmup": "Warm-up (share of the steps)",
    "OptimizerSpec.momentum": "Momentum",
    "OptimizerSpec.weight_decay": "Weight decay",
    "OptimizerSpec.decay": "Decay applies to",
    "OptimizerSpec.clip_norm": "Largest gradient norm",
    "AugmentSpec.crop": "Random crop (pixels)",
    "AugmentSpec.flip": "Mirror left to right",
    "AugmentSpec.rotate": "Rotation (degrees)",
    "AugmentSpec.scale": "Zoom (0.1 = 10 %)",
    "AugmentSpec.brightness": "Brightness (0.1 = 10 %)",
    "AugmentSpec.contrast": "Contrast (0.1 = 10 %)",
    "AugmentSpec.erase": "Chance of a blanked rectangle (0 to 1)",
    # Data, checks and files.
    "SplitSpec.validation": "For validation (0.1 = 10 %)",
    "SplitSpec.test": "For the test (0.1 = 10 %)",
    "ExpectedSpec.accuracy": "Accuracy (0.92 = 92 %)",
    "ExpectedSpec.top1": "Top-1 accuracy (0.92 = 92 %)",
    "ExpectedSpec.top5": "Top-5 accuracy (0.98 = 98 %)",
    "ExpectedSpec.macro_f1": "Macro F1 (0 to 1)",
    "ExpectedSpec.miou": "Mean IoU (0 to 1)",
    "ExpectedSpec.exact": "Lines without a mistake (0 to 1)",
    "ExpectedSpec.map50_95": "Mean average precision of boxes (0 to 1)",
    "ExpectedSpec.recall1": "Recall at 1 of embeddings (0 to 1)",
    "ExpectedSpec.oks_ap": "Average precision of keypoints (0 to 1)",
    "ExpectedSpec.mean_error": "Mean absolute error",
    "SanitySpec.action": "If network and data do not fit",
    "SanitySpec.num_samples": "Samples to check",
    "ExportSpec.formats": "Files to write",
    "PrecisionSpec.kind": "Numbers",
    "PrecisionSpec.max_drop": "Largest loss in int8 (0.01 = 1 %)",
    "PrecisionSpec.num_samples": "Samples to calibrate with",
    "PrecisionSpec.target": "Processor",
    "HeadSpec.kind": "Form of the outputs",
    "HeadSpec.blank": "Place of the blank",
    "HeadSpec.score": "Least score of a box or keypoint (0 to 1)",
    "HeadSpec.overlap": "Most overlap of two boxes (0 to 1)",
    "ResourcesSpec.accelerator": "Runs on",
    # Sections.
    "PruneConfig.selection": "What to remove",
    "PruneConfig.criterion": "Which filters matter",
    "PruneConfig.schedule": "Once or in rounds",
    "PruneConfig.repair": "Repair",
    "PruneConfig.retrain": "Retraining",
    "PruneConfig.split": "Training, validation and test samples",
    "PruneConfig.task": "Task",
    "PruneConfig.head": "Outputs of a detector or text recogniser",
    "PruneConfig.resources": "Machine",
    "PruneConfig.baselines": "Compare with random pruning and training from scratch",
    "PruneConfig.expected": "Known quality of the dense network",
    "PruneConfig.sanity": "Check of network and data",
    "PruneConfig.export": "Files",
    "PruneConfig.precision": "Smaller numbers (int8)",
    "PreprocessSpec.preset": "Preset",
    "PreprocessSpec.resize": "Resize to (height, width in pixels)",
    "PreprocessSpec.fit": "How to resize",
    "PreprocessSpec.channels": "Channels",
    "PreprocessSpec.scale": "Scale",
    "PreprocessSpec.mean": "Mean",
    "PreprocessSpec.std": "Standard deviation",
}


def titled(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON schema with titles for people; fields without one keep Pydantic's."""
    schema = {**schema, "$defs": dict(schema.get("$defs", {}))}
    schema["properties"] = _titled_fields(schema["title"], schema["properties"])
    for name, part in schema["$defs"].items():
        if "properties" in part:
            fields = _titled_fields(name, part["properties"])
            schema["$defs"][name] = {**part, "properties": fields}
    return schema


def _titled_fields(spec: str, fields: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, field in fields.items():
        title = TITLES.get(f"{spec}.{name}", TITLES.get(name))
        found[name] = field if title is None else {**field, "title": title}
    return found
