"""A synthesized CDK app, made to run: the template is the truth, and nothing here knows what it is for."""
