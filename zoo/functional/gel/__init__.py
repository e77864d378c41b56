"""Generalised empirical likelihood: how a sample must be reweighted to meet moments of data."""
