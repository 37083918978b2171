"""Gate A: does a temporal dictionary find slow latents, rare ones too, at little cost to what a dictionary is for?"""
