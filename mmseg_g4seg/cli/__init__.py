"""The arguments of the command-line tools: one module a tool, each with a `main` that returns the exit code."""
