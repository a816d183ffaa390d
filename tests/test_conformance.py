"""Property-based conformance to the OpenAPI document, with schemathesis."""
