"""The registry: names of models, their versions, and aliases that point at versions."""
