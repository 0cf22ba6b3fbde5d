"""Growing arrays, and the kernels that work on them; see ../DESIGN.md."""
