//! A relay with the right key that accepts connections, keeps them alive, and lets nobody say a word.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig};
use rcgen::PublicKeyData as _;
use ring::digest::{SHA256, digest};
use rustls::pki_types::PrivatePkcs8KeyDer;
use subrosa::{RelayAddr, SyncState};
use subrosa_protocol::frame::ALPN;
use subrosa_protocol::ids::Pin;
use tokio::runtime::Runtime;

use crate::support::{MOMENT, PATIENCE, TestDevice, clock};

/// Runs until it is dropped.
struct Mute {
    addr: RelayAddr,
    connected: std::sync::mpsc::Receiver<()>,
    _runtime: Runtime,
}

impl Mute {
    fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["subrosa".to_owned()]).unwrap();
        let spki = digest(&SHA256, &made.signing_key.subject_public_key_info());
        let pin = Pin::from_bytes(spki.as_ref().try_into().unwrap());
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(0_u32.into());
        transport.keep_alive_interval(Some(Duration::from_millis(500)));
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = RelayAddr::new(vec![socket.local_addr().unwrap().to_string()], pin, None).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (tell, connected) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let runtime = Arc::new(TokioRuntime);
            let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).unwrap();
            let mut held = Vec::new();
            while let Some(incoming) = endpoint.accept().await {
                if let Ok(connection) = incoming.await {
                    held.push(connection);
                    let _ = tell.send(());
                }
            }
        });
        Self { addr, connected, _runtime: runtime }
    }
}

#[test]
fn a_relay_that_grants_no_stream_keeps_nobody() {
    let relay = Mute::start();
    let a = TestDevice::new();
    let begun = clock();
    let sync = a.sync(&relay.addr);
    relay.connected.recv_timeout(PATIENCE).unwrap();
    assert_eq!(sync.status().state, SyncState::Connecting);
    sync.stop();
    let offer = a.device().pair_offer(&relay.addr).unwrap();
    relay.connected.recv_timeout(PATIENCE).unwrap();
    drop(offer);
    let sync = a.sync(&relay.addr);
    relay.connected.recv_timeout(PATIENCE).unwrap();
    a.device().suspend(PATIENCE).unwrap();
    assert_eq!(sync.status().state, SyncState::Suspended);
    drop(sync);
    assert!(begun.elapsed() < PATIENCE + MOMENT, "nothing waited for the relay");
}
