"""The ``secateur`` command. The only part of `app` that starts processes."""
