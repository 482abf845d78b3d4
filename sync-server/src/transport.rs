//! The QUIC endpoint and its limits: what a peer may hold before and after it proved membership.
//!
//! A connection holds at most [`limits::WINDOW_BYTES_MIN`] and [`limits::SEND_BYTES_MIN`] in the transport and one frame of
//! [`limits::FRAME_BYTES_MAX_UNAUTHENTICATED`] here; what a member's holds beyond that is taken from what all
//! have together ([`crate::places`]). A stranger has [`limits::AUTH_DEADLINE`], and at most
//! [`limits::UNAUTHENTICATED_LINKS_MAX`] of them are let in at a time ([`crate::strangers`]).

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{
    Endpoint, EndpointConfig, MtuDiscoveryConfig, SendStream, ServerConfig, TokioRuntime, TransportConfig,
    VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use subrosa_protocol::limits;

use crate::error::Error;
use crate::key::RelayKey;

/// A connection without a sign of life ends after this; clients send one every 50 s at least.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// A peer that takes nothing for this long has stalled.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Kernel buffer of the socket, each way.
const SOCKET_BYTES: usize = 4 << 20;

/// Close code: ended by an ERROR frame that was sent before, whose number is the code.
pub(crate) const fn close_code(code: u16) -> VarInt {
    VarInt::from_u32(code as u32)
}
/// Close code: our fault.
pub(crate) const CLOSE_INTERNAL: VarInt = VarInt::from_u32(17);

/// Binds the socket and makes the endpoint. To be called inside the runtime.
pub(crate) fn endpoint(listen: SocketAddr, key: &RelayKey) -> Result<Endpoint, Error> {
    let mut server = ServerConfig::with_crypto(key.tls()?);
    server
        .max_incoming(limits::INCOMING_MAX)
        .incoming_buffer_size(limits::INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(limits::INCOMING_BUFFER_TOTAL_BYTES)
        .transport_config(Arc::new(transport_config()));
    let socket = bind(listen).map_err(|source| Error::Listen { addr: listen, source })?;
    let (reset, ids) = key.reset_keys();
    let mut config = EndpointConfig::new(Arc::new(reset));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    Ok(Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))?)
}

fn transport_config() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = quinn::IdleTimeout::try_from(IDLE_TIMEOUT).expect("90 s fit");
    transport
        .max_concurrent_bidi_streams(limits::BIDI_STREAMS_MAX.into())
        .max_concurrent_uni_streams(limits::UNI_STREAMS_MAX.into())
        .max_idle_timeout(Some(idle))
        .stream_receive_window(limits::MEMBER_WINDOW_BYTES.into())
        .receive_window(limits::WINDOW_BYTES_MIN.into())
        .send_window(limits::SEND_BYTES_MIN.into())
        .mtu_discovery_config(Some(mtu_discovery()))
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .keep_alive_interval(None);
    transport
}

/// Half of what lies between what every path takes, 1,200 bytes, and what most take, 1,452: with steps beyond that one look finds
/// the latter, where smaller ones would send four large packets to each link that has nothing else to say.
const MTU_STEP_MIN: u16 = 127;

fn mtu_discovery() -> MtuDiscoveryConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.minimum_change(MTU_STEP_MIN);
    discovery
}

fn bind(listen: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Best effort: the kernel caps them, and a small buffer costs packets, not correctness.
    let _ = socket.set_recv_buffer_size(SOCKET_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BYTES);
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

/// The peer stopped reading, or is gone.
#[derive(Debug)]
pub(crate) struct Stalled;

/// Hands bytes to the transport, waiting while the peer has no room.
///
/// # Cancel safety
/// If dropped, part of the bytes may have been sent: the stream is of no more use.
pub(crate) async fn write(stream: &mut SendStream, bytes: Bytes) -> Result<(), Stalled> {
    match tokio::time::timeout(WRITE_TIMEOUT, stream.write_chunk(bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Stalled),
    }
}
