"""Working days, months and London dates; the bank holidays are an argument."""
