"""Read networks' outputs as boxes, masks and texts, in NumPy: for metrics and ``/infer`` alike."""
