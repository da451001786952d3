"""How each real program is found, built, started, watched and stopped."""
