"""Posting lists in memory: searches of the newest tweets; see ../DESIGN.md."""
