"""Documents, and the programs that generate two of them."""
