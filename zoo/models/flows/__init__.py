"""Invertible networks with exact densities: NICE, Real NVP."""
