"""The routes, one file per resource. Each function reads its input, asks the shard, passes the answer on."""
