"""State changes of jobs as guarded updates, shared by the API and the workers."""
