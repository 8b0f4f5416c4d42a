"""Peer servers, each run in its own virtual environment."""
