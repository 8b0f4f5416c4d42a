"""Every move of a job, as guarded updates that the API and the workers share."""
