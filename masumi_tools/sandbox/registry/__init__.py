"""The simulated registry."""
