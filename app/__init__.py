"""The service: HTTP in front, rows and objects behind. Needs no torch."""
