"""Two hundred ordinary trade mails of our own making: what a gateway must let through."""
