"""What people take away: GeoPackage, GeoJSON, quick look, KMZ."""
