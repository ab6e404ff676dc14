"""What stands beside the package: it imports the package, never the reverse, and is not installed."""
