"""The logic that `Client` and `AsyncClient` share: everything but I/O.

Requests and responses are plain values (`requests`, `answers`). An operation of several requests is
a generator of steps (`steps`), written once; two small loops execute the steps (`transport`,
`async_transport`). This package is not public: import from `secateur`.
"""
