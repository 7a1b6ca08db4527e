"""The simulated chain and its escrow."""
