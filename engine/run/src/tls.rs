//! The one implementation of cryptography that every TLS client of this process uses.

/// Chooses it. Called once, before anything connects; calling it again changes nothing.
pub fn install_tls() {
    // An error says that it was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
