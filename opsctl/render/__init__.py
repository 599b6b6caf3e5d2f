"""Views to text: tables, JSON, JUnit."""
