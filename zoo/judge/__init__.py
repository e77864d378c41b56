"""The judge: asks a model for its capabilities and scores it by named protocols."""
