"""The work that is sold: crews, Runnables, functions, and people who are asked."""
