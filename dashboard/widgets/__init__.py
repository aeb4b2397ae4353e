"""Controls and live displays that several pages have."""
