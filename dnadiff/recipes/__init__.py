"""One verb a file: what a command does, step by step."""
