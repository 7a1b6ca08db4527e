"""The MIP-003 routes of a shop."""
