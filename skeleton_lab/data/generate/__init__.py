"""Made-up recordings."""
