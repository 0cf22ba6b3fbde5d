"""Buckets that move between shards; see ../DESIGN.md."""
