"""The dashboard: a single page at ``/`` with static files (`static/`).

Plain ES modules and style sheets without a build step. The page reads all its data from the ``/v1``
API with the user's key; this package only serves the files.
"""
