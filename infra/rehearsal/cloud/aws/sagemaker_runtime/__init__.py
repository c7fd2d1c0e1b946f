"""sagemaker-runtime: InvokeEndpoint, from a request to the answer of a model server."""
