"""Searches over all shards, from a query string to a page; see ../DESIGN.md."""
