"""What every area of the domain is made of: ids, agencies, events, rules, deciders."""
