"""Floor 2: torchmetrics shells: state and merging; the mathematics is in `zoo.functional`."""
