"""Mail that waits with us: taken, changed by one table, released by waivers, carried on, or bounced."""
