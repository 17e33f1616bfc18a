"""The service over HTTP: each module makes one blueprint of thin views."""
