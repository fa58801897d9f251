//! Where guard differs from Caddy, and why.
