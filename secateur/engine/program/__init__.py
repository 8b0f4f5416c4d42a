"""Models as data: reading, running and writing programs."""
