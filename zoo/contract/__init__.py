"""What a model can do, what a batch is, and how models answer outside training."""
