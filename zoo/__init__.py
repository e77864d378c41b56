"""The classic deep generative models under one contract."""

__version__ = "0.1.0"
