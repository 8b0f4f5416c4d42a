"""What the API and the worker must agree on: settings, specs, states, rows, objects, names."""
