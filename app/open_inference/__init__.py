"""``/v2``: the Open Inference Protocol, as its clients (``tritonclient``) speak it.

`infer` is the hot path: plain Starlette, no pydantic. What a tensor looks like on the wire is in
`datatypes`, `requests` and `answers`, which know neither HTTP nor the service.
"""
