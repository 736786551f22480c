"""What services depend on: one file per component, which exports one value."""
