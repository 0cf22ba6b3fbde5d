"""The client of the whole cluster, as API workers and commands use it; see ../DESIGN.md."""
