"""Owns partners, subscriptions, deliveries and the proof of notification."""
