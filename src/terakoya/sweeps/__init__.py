"""Many runs over config keys and seeds: planned, run by one or several processes, summarised."""
