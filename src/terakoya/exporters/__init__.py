"""A trained skill leaves the house: artifacts for other runtimes, each proved on the skill's own exam."""
