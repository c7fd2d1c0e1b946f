"""KServe's part of the local Kubernetes: the kind InferenceService, its admission, its controller (Standard mode).

What each answer and each object looks like was recorded from KServe 0.20.0 on Kubernetes 1.37 and is compared with
those recordings in `tests/reality/kserve`. What is not here (storage-initializer, serving runtimes, canary entries,
Knative) is refused aloud in the object's events, never half done.
"""
