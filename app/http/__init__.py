"""What happens to requests before a route sees them, and to answers after: limits, headers, log."""
