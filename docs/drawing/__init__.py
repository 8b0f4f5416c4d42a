"""The documents' pictures, drawn by code: a module each; `docs.generate_pictures` writes them."""
