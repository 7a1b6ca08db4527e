"""One hire, from its quote to its receipt."""
