"""Check that the dense network was trained on samples like those of the data set."""
