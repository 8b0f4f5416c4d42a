"""Links that show the report of one job to people without a key."""
