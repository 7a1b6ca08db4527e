"""What is proved, not believed: identifiers, signatures and hashes."""
