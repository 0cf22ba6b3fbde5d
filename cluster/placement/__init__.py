"""Which shard has which bucket, and how buckets move; see ../DESIGN.md."""
