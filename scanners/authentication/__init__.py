"""SPF, DKIM, ARC, DMARC and the RFC 8601 field that reports them."""
