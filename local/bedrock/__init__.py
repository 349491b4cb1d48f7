"""Amazon Bedrock's runtime: `service` answers requests, `runner` works on jobs, `model_process` holds the model.

Empty on purpose: a model process imports this package and needs none of the service.
"""
