"""Plain `torch.nn` networks: shapes only, no losses, no optimisers, no Lightning."""
