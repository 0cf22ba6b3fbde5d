"""Rookery's own REST API; see ../DESIGN.md."""
