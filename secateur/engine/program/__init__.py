"""A model as data: read, executed, written."""
