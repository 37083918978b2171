"""The whole loop in small: a base, what training made of it, a dictionary of that, roles, tracks, credit by roles."""
