"""HTTP routes: each module creates one blueprint of thin views."""
