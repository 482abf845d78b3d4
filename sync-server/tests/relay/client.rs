//! A raw client: frames over quinn, and nothing that a real one decides.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{
    ALPN, ClientFrame, Credential, FeedFrame, FrameLimit, RelayFrame, Role, VERSION,
};
use subrosa_protocol::ids::{Digest, Incarnation, Rseq, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::relay_link::digest_of_nothing;

use crate::fixture::{Key, Vault};

const PATIENCE: Duration = Duration::from_secs(10);

/// Takes any certificate: these tests trust loopback. The real client pins the key.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("tls 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let provider = rustls::crypto::ring::default_provider();
        let algorithms = &provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// One link to a relay.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) incarnation: Incarnation,
    pub(crate) exporter: [u8; 32],
    send: SendStream,
    recv: Frames,
    _endpoint: Endpoint,
}

/// One feed stream.
pub(crate) struct Feed(Frames);

struct Frames {
    recv: RecvStream,
    buffer: BytesMut,
    patience: Duration,
}

impl Frames {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(len) = FrameLimit::FULL.announced(&self.buffer).unwrap()
                && self.buffer.len() >= len + 4
            {
                let mut frame = self.buffer.split_to(len + 4);
                frame.advance(4);
                return Some(frame.freeze());
            }
            let chunk = tokio::time::timeout(self.patience, self.recv.read_chunk(1 << 20, true)).await;
            match chunk.expect("the relay answers in time") {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Client {
    /// Connects without a word.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::try_connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST), addr).await.unwrap()
    }

    /// Connects from one of this machine's addresses, without a word.
    pub(crate) async fn try_connect_from(from: IpAddr, addr: SocketAddr) -> Result<Self, ConnectionError> {
        Self::try_connect_with(from, addr, TransportConfig::default()).await
    }

    /// The same, with a transport that takes so little of each stream unless it is read.
    pub(crate) async fn hello_taking_little(from: IpAddr, addr: SocketAddr) -> Self {
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(1024_u32.into());
        let client = Self::try_connect_with(from, addr, transport).await.unwrap();
        client.said_hello().await
    }

    async fn try_connect_with(
        from: IpAddr,
        addr: SocketAddr,
        transport: TransportConfig,
    ) -> Result<Self, ConnectionError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut endpoint = Endpoint::client(SocketAddr::new(from, 0)).unwrap();
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        endpoint.set_default_client_config(config);
        let connection = endpoint.connect(addr, "subrosa").unwrap().await?;
        let (send, recv) = connection.open_bi().await?;
        let mut exporter = [0; 32];
        connection.export_keying_material(&mut exporter, labels::EXPORTER, b"").unwrap();
        let recv = Frames { recv, buffer: BytesMut::new(), patience: PATIENCE };
        Ok(Self { connection, incarnation: Incarnation::ZERO, exporter, send, recv, _endpoint: endpoint })
    }

    /// Connects and says HELLO.
    pub(crate) async fn hello(addr: SocketAddr) -> Self {
        Self::hello_from(IpAddr::V4(Ipv4Addr::LOCALHOST), addr).await
    }

    /// Connects from one of this machine's addresses, and says HELLO.
    pub(crate) async fn hello_from(from: IpAddr, addr: SocketAddr) -> Self {
        Self::try_connect_from(from, addr).await.unwrap().said_hello().await
    }

    async fn said_hello(self) -> Self {
        self.try_said_hello().await.expect("the link is open")
    }

    /// Says HELLO, unless the relay ends the link.
    pub(crate) async fn try_said_hello(self) -> Option<Self> {
        let mut client = self;
        client
            .send(&ClientFrame::Hello { versions: vec![VERSION], caps: 0, extensions: Extensions::new() })
            .await;
        match client.try_recv().await? {
            RelayFrame::Hello { version: VERSION, incarnation, .. } => client.incarnation = incarnation,
            other => panic!("{other:?}"),
        }
        Some(client)
    }

    pub(crate) async fn send(&mut self, frame: &ClientFrame) {
        self.send_bytes(frame.encode()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: Bytes) {
        let _ = self.send.write_chunk(bytes).await; // the relay may have closed already
    }

    pub(crate) async fn try_recv(&mut self) -> Option<RelayFrame> {
        Some(RelayFrame::decode(&self.recv.next().await?).unwrap())
    }

    pub(crate) async fn recv(&mut self) -> RelayFrame {
        self.try_recv().await.expect("the link is open")
    }

    pub(crate) async fn refusal(&mut self) -> Refusal {
        match self.recv().await {
            RelayFrame::Error(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// A refusal that may take the relay longer than most.
    pub(crate) async fn refusal_within(&mut self, patience: Duration) -> Refusal {
        self.recv.patience = patience;
        self.refusal().await
    }

    pub(crate) async fn send_auth(&mut self, vault: &Vault, role: Role) {
        self.send_auth_by(vault.id, role, vault.key(role)).await;
    }

    pub(crate) async fn send_auth_by(&mut self, vault: VaultId, role: Role, key: &Key) {
        let payload = [&self.exporter[..], vault.as_bytes(), &[role as u8]].concat();
        let signature = key.sign(labels::AUTH, &payload);
        self.send(&ClientFrame::Auth { vault, role, public: key.public(), signature }).await;
    }

    /// Proves membership of a vault that the relay has.
    pub(crate) async fn auth(&mut self, vault: &Vault, role: Role) {
        self.send_auth(vault, role).await;
        match self.recv().await {
            RelayFrame::Vault { vault: id, .. } => assert_eq!(id, vault.id),
            other => panic!("{other:?}"),
        }
    }

    /// Creates a vault that the relay does not have; the outcome, with the grant's bytes.
    pub(crate) async fn create(
        &mut self,
        vault: &Vault,
        credential: Credential,
    ) -> Result<Vec<u8>, ErrorCode> {
        self.send_auth(vault, Role::Writer).await;
        assert_eq!(self.refusal().await.code, ErrorCode::UnknownVault);
        self.create_again(vault, credential).await
    }

    /// CREATE alone, after an AUTH that found the vault unknown.
    pub(crate) async fn create_again(
        &mut self,
        vault: &Vault,
        credential: Credential,
    ) -> Result<Vec<u8>, ErrorCode> {
        for part in vault.parts() {
            self.send(&part).await;
        }
        self.send(&ClientFrame::Create { vault: vault.id, credential }).await;
        match self.recv().await {
            RelayFrame::Vault { .. } => {}
            RelayFrame::Error(refusal) => return Err(refusal.code),
            other => panic!("{other:?}"),
        }
        match self.recv().await {
            RelayFrame::Grant { grant } => Ok(grant),
            other => panic!("{other:?}"),
        }
    }

    /// LOG for both logs of the vault.
    pub(crate) async fn logs(&mut self, vault: &Vault) {
        for log in [&vault.control, &vault.data] {
            self.send(&vault.log_frame(log)).await;
        }
    }

    pub(crate) async fn send_subscribe(&mut self, vault: VaultId, cursor: Rseq, digest: Digest) {
        let incarnation = self.incarnation;
        self.send(&ClientFrame::Subscribe { vault, incarnation, cursor, digest }).await;
    }

    /// Asks for all there is.
    pub(crate) async fn send_subscribe_from_start(&mut self, vault: VaultId) {
        self.send_subscribe(vault, Rseq(0), digest_of_nothing()).await;
    }

    /// Subscribes from the start.
    pub(crate) async fn subscribe(&mut self, vault: VaultId) -> Feed {
        self.send_subscribe_from_start(vault).await;
        self.feed(vault).await
    }

    /// A feed that the relay opened and ended before it said anything.
    pub(crate) async fn ended_feed(&mut self) {
        let mut recv = tokio::time::timeout(PATIENCE, self.connection.accept_uni()).await.unwrap().unwrap();
        assert!(matches!(recv.read_chunk(1, true).await, Err(quinn::ReadError::Reset(_))));
    }

    /// The feed that the relay opens.
    pub(crate) async fn feed(&mut self, vault: VaultId) -> Feed {
        let recv = tokio::time::timeout(PATIENCE, self.connection.accept_uni()).await.unwrap().unwrap();
        let mut feed = Feed(Frames { recv, buffer: BytesMut::new(), patience: PATIENCE });
        let start = FeedFrame::Start { vault, incarnation: self.incarnation };
        assert_eq!(feed.next().await, Some(start));
        feed
    }
}

impl Feed {
    pub(crate) async fn next(&mut self) -> Option<FeedFrame> {
        Some(FeedFrame::decode(&self.0.next().await?).unwrap())
    }

    /// All frames up to and with the next CAUGHT_UP.
    pub(crate) async fn until_caught_up(&mut self) -> Vec<FeedFrame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await.expect("the feed is open");
            let done = matches!(frame, FeedFrame::CaughtUp { .. });
            frames.push(frame);
            if done {
                return frames;
            }
        }
    }
}
