"""Files of three-component records: found, read, repaired by stated rules, or refused with a reason."""
