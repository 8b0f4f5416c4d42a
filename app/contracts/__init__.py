"""Contracts between the API and the worker: settings, specs, states, errors and names."""
