"""Selection of a plan from saliencies: by a rule, by measured latency, or by search."""
