"""The terminal session in the README: really run, and drawn (`docs.record_session`)."""
