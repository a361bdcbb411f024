"""Image sets: two embedded ones, the common benchmarks, and a person's own."""

from robust_core.data.base import DATA, DataPreview, DataSource, ImageSet
from robust_core.data.loading import (
    data_preview,
    data_source,
    find_image,
    list_data,
    load_data,
    own_data,
)

__all__ = [
    "DATA",
    "DataPreview",
    "DataSource",
    "ImageSet",
    "data_preview",
    "data_source",
    "find_image",
    "list_data",
    "load_data",
    "own_data",
]
