"""Floor 1: plain `torch.nn` networks: shapes only, no losses, no optimisers, no Lightning."""
