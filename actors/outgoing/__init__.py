"""What leaves the cluster: the dispatcher's channels. No Ray here."""
