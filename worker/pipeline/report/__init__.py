"""Report of a job: built from its results and rendered as a page."""
