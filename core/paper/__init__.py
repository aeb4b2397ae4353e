"""What the paper states and what was measured of it: its numbers, its claims, and both side by side."""
