"""Scripts that maintain this repository; none of them is installed."""
