# /// script
# requires-python = ">=3.11"
# dependencies = ["granian==2.8.9"]
# ///
"""What Granian adds to the packages of this project, which serve the same on it."""
