"""One network behind this service and behind its peers, under the same load."""
