"""Tables of stored results, and the statements that they decide."""
