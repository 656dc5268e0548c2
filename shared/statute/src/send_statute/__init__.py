"""Statutory dates of EHC plans in England, as data and pure functions."""
