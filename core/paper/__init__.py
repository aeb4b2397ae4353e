"""What the paper states and what was measured of it: its numbers, its claims, and both side by side."""

from core.paper.numbers import PaperNumber, paper_number, paper_numbers, paper_seconds

__all__ = ["PaperNumber", "paper_number", "paper_numbers", "paper_seconds"]
