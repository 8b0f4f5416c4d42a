"""The ``secateur-engine`` command: the engine on one machine, without a service."""
