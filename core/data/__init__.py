"""Data sets: one file each, registered by name in :data:`datasets`."""

from core.data.images import (
    DataMissing,
    Dataset,
    ImageSet,
    Split,
    UnreadableImage,
    cache_folder,
    data_folders,
    dataset_from,
    datasets,
    fitting,
)

__all__ = [
    "DataMissing",
    "Dataset",
    "ImageSet",
    "Split",
    "UnreadableImage",
    "cache_folder",
    "data_folders",
    "dataset_from",
    "datasets",
    "fitting",
]
