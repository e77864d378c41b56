"""Where trained models lie: published ones here, on the web or on a hub, and runs."""
