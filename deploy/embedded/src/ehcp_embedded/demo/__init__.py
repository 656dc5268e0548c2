"""The demonstration: an invented caseload in the shape of Bury's published figures, and three partners to
hear of it."""
