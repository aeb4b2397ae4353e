"""What stands in the files of a checkpoint, checked once, where they are read: one schema for each kind of file."""

from core.schemas.base import checked, json_of, read_json

__all__ = ["checked", "json_of", "read_json"]
