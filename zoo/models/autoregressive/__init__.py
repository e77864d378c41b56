"""Models that draw one pixel after the other: NADE, MADE, PixelCNN."""
