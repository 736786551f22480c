"""WHAT IT MEANS: bounds, obligations and the verdict, a pure function of scenario and history."""
