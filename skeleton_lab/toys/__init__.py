"""Two small baselines and the loop that trains them: enough to see that data, device and loader work."""
