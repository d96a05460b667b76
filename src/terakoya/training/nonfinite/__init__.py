"""NaN and infinity: detected at the step, with the module and the cause."""
