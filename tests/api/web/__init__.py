"""The web client as a worker serves it: files, pages, policy, session."""
