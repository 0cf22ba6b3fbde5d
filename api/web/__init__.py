"""The web client: what browsers get at `/`, and the little that it needs of the server beside Mastodon's API."""
