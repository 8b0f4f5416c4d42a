"""Jobs: posted, watched, cancelled."""
