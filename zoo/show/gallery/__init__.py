"""What the shelf shows of itself: the table of models, the wall of pictures, the pages."""

from typing import TYPE_CHECKING

from zoo.core.lazy import lazily

if TYPE_CHECKING:
    from zoo.show.gallery.exhibit import Exhibit, exhibit, exhibits
    from zoo.show.gallery.site import build_site
    from zoo.show.gallery.table import families, markdown, with_table
    from zoo.show.gallery.wall import contents, save_wall, written_contents

__all__ = [
    "Exhibit",
    "build_site",
    "contents",
    "exhibit",
    "exhibits",
    "families",
    "markdown",
    "save_wall",
    "with_table",
    "written_contents",
]

_FILES = {
    "exhibit": ("Exhibit", "exhibits"),
    "site": ("build_site",),
    "table": ("families", "markdown", "with_table"),
    "wall": ("contents", "save_wall", "written_contents"),
}
_HOMES = {name: f"{__name__}.{file}" for file, names in _FILES.items() for name in names}

__getattr__, __dir__ = lazily(__name__, _HOMES)
