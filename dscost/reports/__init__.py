"""What comes out: plain frozen data, and how it is saved and read again. No formatting."""
