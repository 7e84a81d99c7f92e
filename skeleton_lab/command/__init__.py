"""How a command speaks with the one who started it: its options, and the streams that it writes to."""
