"""What one browser tab has selected, and its link."""
