"""What the shelf shows of itself: the table of models, the wall of pictures, the pages."""

from zoo.show.gallery.exhibit import Exhibit, exhibit, exhibits
from zoo.show.gallery.site import build_site
from zoo.show.gallery.table import markdown, with_table
from zoo.show.gallery.wall import contents, save_wall, written_contents

__all__ = [
    "Exhibit",
    "build_site",
    "contents",
    "exhibit",
    "exhibits",
    "markdown",
    "save_wall",
    "with_table",
    "written_contents",
]
