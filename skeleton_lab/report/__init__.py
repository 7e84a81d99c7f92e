"""What work directories hold, as pages for people: one run (`run_report`), or several side by side (`comparison`)."""
