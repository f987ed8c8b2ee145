"""HTML reports, charts and timelines."""
