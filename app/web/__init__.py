"""The dashboard: one page at ``/``, of files that a browser runs as they are (`static/`).

Plain ES modules and style sheets, without a build step. What the page shows it asks the ``/v1`` API
for, with the key that its user gave it; the server has no part in that.
"""
