"""Live streams: what the shards push to this worker, and the clients that hear it."""
