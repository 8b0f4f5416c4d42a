"""Requests to URLs from users, which must not reach what the users cannot."""
