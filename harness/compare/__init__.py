"""WHAT CHANGED, and what was kept: runs beside runs, beside a baseline, and beside promises made elsewhere."""
