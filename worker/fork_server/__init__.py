"""A process that has imported what every job needs, and forks one process a job.

A job's process must be one of its own: it opens strangers' files, may be killed, and gives its
memory back by ending. Started from nothing it would spend several seconds of CPU on imports before
it reads its request; forked, it begins at once and shares those pages. `client` is the worker's
side, `__main__` the server; `limits` and `isolation` are what a child takes upon itself before it
touches anything of a user's. See docs/decisions/0015-jobs-are-forked.md.
"""
