"""What `run_cluster.py` runs: serving, loading, checking, backups, planned work."""
