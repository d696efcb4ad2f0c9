"""What people type: one small module a verb, no logic."""
