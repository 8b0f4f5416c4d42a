"""A server process that imports what every job needs, and forks one process per job.

Each job needs its own process: it opens untrusted files, may be killed, and releases its memory
when it exits. A new process would spend several seconds of CPU on imports before it reads its
request. A forked one starts at once and shares the imported pages. `client` is the worker's side,
`__main__` the server. A child applies `app.sandbox` to itself before it opens a user's
file. See docs/decisions/0015-jobs-are-forked.md.
"""
