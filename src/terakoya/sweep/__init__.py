"""Many runs over config keys and seeds: plan, workers, summary."""
