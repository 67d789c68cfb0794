"""Emit events, land them as raw JSON exactly once, and prove it."""
