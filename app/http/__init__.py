"""Middlewares around the routes: limits, headers and the request log."""
