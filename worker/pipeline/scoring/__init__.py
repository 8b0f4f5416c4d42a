"""Saliency scores: measurement, the cache between jobs, and the comparison of criteria."""
