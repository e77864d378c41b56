"""Floor 0: pure mathematics from tensors to tensors; no modules, no data, no hidden randomness."""
