"""The ground that a platform stands on: what its account offers, what stands already, and the plan that follows."""
