"""Books: the geometry of pages, and what is printed on them."""
