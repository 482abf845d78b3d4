//! Finding the relay and making sure that it is the relay: QUIC with TLS 1.3, and the pinned key instead of a
//! certificate authority.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest as _, Sha256};
use socket2::{Domain, Protocol, Socket, Type};
use subrosa_model::keys::PublicKey;
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::frame::ALPN;
use subrosa_protocol::ids::{Pin, PublicKeyBytes};
use subrosa_protocol::limits::VAULTS_PER_LINK_MAX;
use subtle::ConstantTimeEq as _;

use crate::clock::{Clock as _, SystemClock};
use crate::error::SyncFailure;

/// Tries one address for so long, and the first stream.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Addresses of one host name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Name in the handshake. The relay is known by its key; the network need not learn a name.
const SERVER_NAME: &str = "subrosa";
/// Silence after which the transport gives up; probes keep a live path far below it.
const IDLE_TIMEOUT_MS: u32 = 120_000;
/// Receive window of one feed; several feeds share twice that.
pub(super) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
pub(super) const LINK_WINDOW_BYTES: u32 = 2 * STREAM_WINDOW_BYTES;
/// Kernel buffer of the socket, each way.
const SOCKET_BYTES: usize = 4 << 20;
/// Feeds, with some room for those that are being replaced.
const FEED_STREAMS_MAX: u32 = VAULTS_PER_LINK_MAX as u32 + 8;

/// Makes connections to one relay, the host that answered last first.
pub(super) struct Dialer {
    hosts: Vec<String>,
    pin: Pin,
    endpoint: Option<Endpoint>,
}

impl Dialer {
    pub(super) fn new(relay: &RelayAddr) -> Self {
        Self { hosts: relay.hosts().to_vec(), pin: *relay.pin(), endpoint: None }
    }

    /// Tries every address of every host, one after the other.
    ///
    /// # Cancel safety
    /// An attempt under way is given up.
    pub(super) async fn dial(&mut self) -> Result<Connection, SyncFailure> {
        let mut failure = SyncFailure::NoAddress;
        for index in 0..self.hosts.len() {
            let Ok(addresses) = tokio::net::lookup_host(self.hosts[index].as_str()).await else { continue };
            for address in addresses.take(ADDRESSES_MAX).collect::<Vec<_>>() {
                match self.connect(address).await {
                    Ok(connection) => {
                        self.hosts[..=index].rotate_right(1);
                        return Ok(connection);
                    }
                    // A wrong key says more than silence elsewhere.
                    Err(SyncFailure::Unreachable) if matches!(failure, SyncFailure::WrongKey) => {}
                    Err(other) => failure = other,
                }
            }
        }
        Err(failure)
    }

    async fn connect(&mut self, address: SocketAddr) -> Result<Connection, SyncFailure> {
        let endpoint = self.endpoint()?;
        let wrong_key = Arc::new(AtomicBool::new(false));
        let config = client_config(self.pin, wrong_key.clone()).ok_or(SyncFailure::NoSocket)?;
        let connecting =
            endpoint.connect_with(config, address, SERVER_NAME).map_err(|_| SyncFailure::Unreachable)?;
        match tokio::time::timeout(CONNECT_WAIT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            _ if wrong_key.load(Ordering::SeqCst) => Err(SyncFailure::WrongKey),
            Ok(Err(_)) | Err(_) => Err(SyncFailure::Unreachable),
        }
    }

    /// One socket for both families where the system has both.
    fn endpoint(&mut self) -> Result<Endpoint, SyncFailure> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.clone());
        }
        let socket = bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
            .or_else(|_| bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))
            .map_err(|_| SyncFailure::NoSocket)?;
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
            .map_err(|_| SyncFailure::NoSocket)?;
        self.endpoint = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// Moves what is connected to a new socket: the network that the old one was bound to may be gone.
    pub(super) fn rebind(&self) -> Result<(), SyncFailure> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let local = endpoint.local_addr().map_err(|_| SyncFailure::NoSocket)?;
        let any: IpAddr =
            if local.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        bind(SocketAddr::new(any, 0))
            .and_then(|socket| endpoint.rebind(socket))
            .map_err(|_| SyncFailure::NoSocket)
    }

    /// Takes a new socket for the next connection.
    pub(super) fn forget(&mut self) {
        self.endpoint = None;
    }

    /// Lets closed connections tell their peers, for `wait` at most.
    pub(super) async fn close(self, wait: Duration) {
        if let Some(endpoint) = self.endpoint {
            endpoint.close(0_u32.into(), b"");
            let _ = tokio::time::timeout(wait, endpoint.wait_idle()).await;
        }
    }
}

/// The key that the relay has proved, whose pin was compared.
pub(super) fn relay_key(connection: &Connection) -> Option<PublicKeyBytes> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let certificate = ParsedCertificate::try_from(identity.first()?).ok()?;
    let spki = certificate.subject_public_key_info();
    PublicKey::from_spki_der(spki.as_ref()).ok().map(PublicKeyBytes::from)
}

fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Best effort: the kernel caps them, and a small buffer costs packets, not correctness.
    let _ = socket.set_recv_buffer_size(SOCKET_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn client_config(pin: Pin, wrong_key: Arc<AtomicBool>) -> Option<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinnedKey { pin, wrong_key, provider: provider.clone() });
    let mut tls = rustls::ClientConfig::builder_with_details(provider, Arc::new(WallTime))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // Every connection proves the key anew.
    tls.resumption = Resumption::disabled();
    tls.enable_early_data = false;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).ok()?));
    config.transport_config(Arc::new(transport()));
    Some(config)
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(FEED_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(LINK_WINDOW_BYTES))
        .send_window(u64::from(LINK_WINDOW_BYTES))
        // Looking for what else the path would take costs more than a sync that finds nothing new, and gains a device little:
        // what is large comes from the relay, which looks.
        .mtu_discovery_config(None)
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .datagram_receive_buffer_size(None);
    transport
}

/// Wall time as TLS asks for it, although no certificate's dates count here. The one that rustls brings panics before 1970.
#[derive(Debug)]
struct WallTime;

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(SystemClock.now_ms())))
    }
}

/// Takes exactly one key, whatever the certificate around it says.
#[derive(Debug)]
struct PinnedKey {
    pin: Pin,
    wrong_key: Arc<AtomicBool>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let found = Sha256::digest(certificate.subject_public_key_info());
        if bool::from(found.as_slice().ct_eq(self.pin.as_bytes())) {
            return Ok(ServerCertVerified::assertion());
        }
        self.wrong_key.store(true, Ordering::SeqCst);
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    /// The pin names the key; this shows that the peer has it.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
