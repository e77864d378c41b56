"""A run: from the recipe's words to trained weights."""
