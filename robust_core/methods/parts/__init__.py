"""What several training methods share."""
