"""The state as tables, and back, in every version there was; see ../DESIGN.md."""
