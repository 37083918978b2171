"""Roles of latents, earned."""
