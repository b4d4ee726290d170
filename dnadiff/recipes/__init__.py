"""One verb a file: what the command line does, readable as a list of steps."""
