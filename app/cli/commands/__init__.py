"""Commands, one module each. `app.cli.main` imports only the one that runs."""
