"""Latencies that users' devices measured, by which widths are chosen for those devices."""
