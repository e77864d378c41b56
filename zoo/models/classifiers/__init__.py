"""Networks that read images: their features and answers serve the judge."""
