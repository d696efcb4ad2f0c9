"""The ground: errors, files that appear whole or not at all, console, hardware, strict settings."""
