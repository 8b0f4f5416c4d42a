"""The commands, a module each: `app.cli.main` imports the one that is called."""
