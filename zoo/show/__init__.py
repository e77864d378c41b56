"""What a person sees of a model: pictures, reports, the gallery."""
