"""Owns every review of every plan, its statutory dates and meeting chain."""
