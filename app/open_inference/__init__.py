"""``/v2``: the Open Inference Protocol, compatible with its clients (``tritonclient``).

`infer` is the hot path: plain Starlette, no pydantic. The wire format of tensors lives in
`datatypes`, `requests` and `answers`, which depend on neither HTTP nor the service.
"""
