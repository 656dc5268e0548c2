"""Owns read models built from events: measures and the dashboard."""
