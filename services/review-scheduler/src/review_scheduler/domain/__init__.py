"""The rules of the room, pure: values in, decisions out. No session, no clock, no HTTP."""
