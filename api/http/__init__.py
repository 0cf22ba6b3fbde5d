"""HTTP/1.1 as this server speaks it: connections, turns, bounds, and answers without a task; see ../DESIGN.md."""
