"""Models: uploaded by users or made by jobs, and checked by intake."""
