"""Models of energy and chains."""
