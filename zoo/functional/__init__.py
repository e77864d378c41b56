"""Pure mathematics from tensors to tensors; no modules, no data, no hidden randomness."""
