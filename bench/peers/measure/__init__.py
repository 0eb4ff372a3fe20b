"""Measures a scheduler other than Watchbell: what `bench/peers/run` is made of."""
