"""uvicorn as this service runs it: connections, limits on heads, and load shedding."""
