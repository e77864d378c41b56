"""Torchmetrics shells: state and merging; the mathematics is in `zoo.functional`."""
