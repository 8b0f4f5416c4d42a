"""What `Client` and `AsyncClient` share: everything but the waiting.

Requests and answers are plain values (`requests`, `answers`); what takes several of them is a
generator that yields its steps (`steps`), written once and driven by either of two thin loops
(`transport`). Not a public interface: import from `secateur`.
"""
