"""What every layer may use: settings, logs, errors, security."""
