"""What turns docs/ into the site, beside MkDocs itself: `hooks` is what mkdocs.yml names."""
