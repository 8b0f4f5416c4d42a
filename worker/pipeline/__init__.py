"""What a job's own process does: stages in order, data loading, reports. Reaches no row or bucket."""
