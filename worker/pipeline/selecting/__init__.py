"""From saliencies to a plan: by a rule, by measured latency, or by search."""
