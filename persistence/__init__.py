"""Journal and checkpoint: what survives when a shard dies. Start with DESIGN.md."""
