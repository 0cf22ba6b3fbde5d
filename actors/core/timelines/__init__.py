"""From a tweet that has arrived to a home timeline that is read; see ../DESIGN.md."""
