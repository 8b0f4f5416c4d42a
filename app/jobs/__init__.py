"""Jobs: create, watch, pause and cancel them."""
