"""How processes show that they live, and what becomes of those that don't; see ../DESIGN.md."""
