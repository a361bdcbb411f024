"""A process with a directory: what it writes there, and how it is stopped and followed."""
