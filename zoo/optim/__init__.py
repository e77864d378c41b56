"""One optimiser step, rates that change, moving averages."""
