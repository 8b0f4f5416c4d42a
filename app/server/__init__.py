"""uvicorn as configured by this service: connection limits, head limits, load shedding."""
