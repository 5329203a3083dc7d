"""The error that ends a command."""


class TemplateError(Exception):
    """Something is not as it must be. Its text names the cause and the fix, in one sentence."""
