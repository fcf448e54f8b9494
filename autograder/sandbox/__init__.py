"""The boundary: student code runs on the far side of what this package holds."""
