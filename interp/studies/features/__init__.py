"""What does difficulty feed? Latents with roles before and after training on easy, medium and hard problems."""
