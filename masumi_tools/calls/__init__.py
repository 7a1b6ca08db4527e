"""Requests as values, and nothing that sends them: one file per party that we talk to."""
