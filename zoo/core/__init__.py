"""What everything else stands on: errors, registries, files, processes; no models, no data."""
