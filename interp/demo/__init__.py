"""The guided run of the whole loop on the shipped organism."""
