"""Pages and sheets of drawn books: layout, text, pictures, geometry."""
