"""The only HTTP clients: time-outs, size caps, the address guard."""
