"""Rankings tried out in minutes: the pipeline and the ranking themselves in virtual time, judged by the grader."""
