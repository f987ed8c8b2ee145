"""Hands with forearms, drawn as sprites."""
