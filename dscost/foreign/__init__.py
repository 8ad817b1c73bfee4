"""Other people's code: looked at without being run, and what it raises told from what we raise."""
