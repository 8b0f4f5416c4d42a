"""Saliencies: measured, cached between jobs, and compared between criteria."""
