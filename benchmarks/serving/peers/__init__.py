"""Servers of others, each run by the interpreter of a virtual environment of its own."""
