"""An assessment as one HTML file that needs nothing else."""
