//! StreamGraph, chaining, JobGraph and ExecutionGraph: pure translation from a program to subtasks.
