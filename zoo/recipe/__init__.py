"""Recipes: how they are read, checked, explained and built."""
