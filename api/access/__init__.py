"""Who is calling, and how often: tokens, passwords, log-ins, rates; see ../DESIGN.md."""
