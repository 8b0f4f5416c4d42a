"""Serving benchmark: one network behind this service and its peers under the same load."""
