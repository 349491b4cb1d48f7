"""`lens`, the command line: a user of the API like any other."""
