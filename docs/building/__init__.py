"""Builds the site from docs/ together with MkDocs; mkdocs.yml loads `hooks`."""
