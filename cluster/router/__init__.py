"""The router: the map, elections, moves and drained nodes; see ../DESIGN.md."""
