"""Files from strangers are opened with suspicion; our own are written whole or not at all."""
