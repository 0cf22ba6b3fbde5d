"""Mastodon's client API: another face of the same state; see `table.py` for what there is, and docs/mastodon.md."""
