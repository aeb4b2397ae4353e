"""Models that were trained elsewhere: read without running anything, recognised, measured, and stored as others are."""

from core.importing.model import Import, Imported, import_model

__all__ = ["Import", "Imported", "import_model"]
