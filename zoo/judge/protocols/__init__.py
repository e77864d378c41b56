"""How each figure is computed: one file for each family of scores."""
