"""Models: uploaded, judged by intake, made by jobs."""
