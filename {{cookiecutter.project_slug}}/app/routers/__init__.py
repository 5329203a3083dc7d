"""HTTP: a request in, a service, a response out."""
