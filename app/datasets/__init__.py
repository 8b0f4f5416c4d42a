"""Data sets: samples and labels, with the preprocessing that belongs to them."""
