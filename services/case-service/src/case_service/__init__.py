"""Owns the child's case: plan, versions, amendment notices, placement, ceasing."""
