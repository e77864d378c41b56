"""Floor 6: what the shelf shows of itself: the table of models, the wall of pictures, the pages."""

from zoo.exhibition.exhibit import Exhibit, amount, exhibit, exhibits
from zoo.exhibition.site import build_site
from zoo.exhibition.table import markdown, with_table
from zoo.exhibition.wall import contents, save_wall, written_contents

__all__ = [
    "Exhibit",
    "amount",
    "build_site",
    "contents",
    "exhibit",
    "exhibits",
    "markdown",
    "save_wall",
    "with_table",
    "written_contents",
]
