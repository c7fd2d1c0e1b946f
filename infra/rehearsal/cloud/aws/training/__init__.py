"""SageMaker training jobs that really train: a process from an image's own files, under the container's contract."""
