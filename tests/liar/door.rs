//! What a relay of a test lets connections in with, and how it reads what clients say.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{RecvStream, ServerConfig, TransportConfig};
use rcgen::PublicKeyData as _;
use ring::digest::{SHA256, digest};
use rustls::pki_types::PrivatePkcs8KeyDer;
use subrosa_protocol::frame::ALPN;
use subrosa_protocol::ids::Pin;

/// A key of its own, and a transport.
#[derive(Debug)]
pub struct Door {
    /// For the endpoint.
    pub config: ServerConfig,
    /// Of the key.
    pub pin: Pin,
    /// The key, as a relay stores it.
    pub pkcs8: Vec<u8>,
}

impl Door {
    /// A peer may open so many streams both ways.
    ///
    /// # Panics
    /// If there is no randomness.
    #[must_use]
    pub fn of(streams: u32) -> Self {
        let made = rcgen::generate_simple_self_signed(["subrosa".to_owned()]).expect("a key is made");
        let spki = digest(&SHA256, &made.signing_key.subject_public_key_info());
        let pin = Pin::from_bytes(spki.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        let pkcs8 = made.signing_key.serialize_der();
        let key = PrivatePkcs8KeyDer::from(pkcs8.clone());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("the key is that of the certificate");
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(streams.into());
        transport.keep_alive_interval(Some(Duration::from_millis(500)));
        let crypto = QuicServerConfig::try_from(tls).expect("TLS 1.3 has the suite of QUIC");
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        Self { config, pin, pkcs8 }
    }
}

/// The bytes of the next frame, length prefix removed; `None` once the stream is over.
pub async fn next_bytes(receive: &mut RecvStream) -> Option<Vec<u8>> {
    let mut len = [0; 4];
    receive.read_exact(&mut len).await.ok()?;
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(len)).ok()?];
    receive.read_exact(&mut frame).await.ok()?;
    Some(frame)
}
