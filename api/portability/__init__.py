"""What an account takes along, or brings: CSV files in Mastodon's forms, and the archive of what it has said."""
