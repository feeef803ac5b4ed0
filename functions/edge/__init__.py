"""What HTTP adapters share: it knows HTTP and no protocol."""
