"""SAR scenes: sensors, reading, radiometry, and a simulator with exact truth."""
