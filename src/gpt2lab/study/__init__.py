"""Many runs become a verdict: recipes, runs, comparison, report."""
