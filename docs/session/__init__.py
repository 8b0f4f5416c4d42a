"""Terminal session of the README, recorded and drawn by `docs.record_session`."""
