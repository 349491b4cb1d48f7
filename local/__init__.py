"""An AWS on the laptop: it reads a synthesized CDK template and runs it, on the wire, for any client."""
