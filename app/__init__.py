"""The service: HTTP API over database rows and stored objects. Does not need torch."""
