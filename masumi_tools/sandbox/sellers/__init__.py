"""The sample services."""
