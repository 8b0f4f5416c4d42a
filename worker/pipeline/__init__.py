"""What a job's own process does: stages, data loading, reports. Reaches no row or bucket."""
