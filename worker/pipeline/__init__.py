"""The job process: stages, data loading and reports. No access to the database or object store."""
