"""What is installed from elsewhere: exact versions with hashes, licences, known holes."""
