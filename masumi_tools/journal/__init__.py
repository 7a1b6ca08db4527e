"""The journal: versioned records in SQLite or PostgreSQL, under leases."""
