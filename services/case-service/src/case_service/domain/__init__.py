"""The rules of the case: pure functions from values and a date to decisions. No session, no clock, no HTTP."""
