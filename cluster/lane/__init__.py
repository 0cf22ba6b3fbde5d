"""The lane: framed requests between processes, and the proof of who is there; docs/lane.md is the law."""
