"""The stack: one construct per capability."""
