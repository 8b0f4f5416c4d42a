"""An example to try the service with: a small network and its data, in the package."""
