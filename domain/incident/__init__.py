"""A serious incident from referral to closing."""
