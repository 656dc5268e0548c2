"""Revisions of the database of case-service."""
