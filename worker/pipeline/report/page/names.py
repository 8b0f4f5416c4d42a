"""What the report's short names mean, in words."""

METRICS = {
    "top1": "accuracy",
    "top5": "top-5 accuracy",
    "macro_f1": "macro-F1",
    "mean_error": "mean absolute error",
    "agreement": "agreement with the dense network",
    "output_error": "distance to the dense network's outputs",
    "loss": "loss",
}
SHARES = frozenset({"top1", "top5", "macro_f1", "agreement", "output_error"})

OBJECTIVES = {
    "cross_entropy": "from the labels",
    "mixed": "from the labels and from the dense network's answers",
    "distill": "from the dense network's answers, without labels",
    "mse": "from the numbers in the labels",
    "bce": "from the labels, several classes a sample",
}
# What the two losses of a curve are: the objective, and what validation measures.
TRAINED_LOSS = {
    "cross_entropy": "cross-entropy",
    "mixed": "cross-entropy and the teacher's divergence",
    "distill": "distance to the teacher, by its variance",
    "mse": "squared error",
    "bce": "binary cross-entropy",
}
VALIDATED_LOSS = {
    "classes": "cross-entropy",
    "binary": "binary cross-entropy",
    "multi_label": "binary cross-entropy",
    "numbers": "squared error",
    "none": "squared distance to the dense network's outputs",
}

LABELS = {
    "classes": "one class a sample",
    "binary": "two classes, told apart by one score",
    "multi_label": "several classes a sample",
    "numbers": "numbers",
    "none": "none",
}
UNITS = {"macs": "multiply-accumulates", "params": "parameters", "latency": "latency"}
BASELINES = {"random": "random pruning", "scratch": "from scratch"}


def capital(text: str) -> str:
    """Return a text with a capital at its start, and what follows as it is."""
    return text[:1].upper() + text[1:]


def layer(name: str) -> str:
    """Return a weight's name without the ending that every weight has."""
    return name.removesuffix(".weight")
