"""The report of a job: built from results, described, rendered as a page."""
