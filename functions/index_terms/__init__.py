"""The table's stream keeps the term index of projects true."""
