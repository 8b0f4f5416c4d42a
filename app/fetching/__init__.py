"""Models and data sets from URLs of users."""
