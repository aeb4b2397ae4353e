"""The pages: one file each, no computation in them."""
