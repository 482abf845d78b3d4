//! The one rendezvous that a link may hold.

use std::collections::VecDeque;

use super::{Event, LinkError, Output};
use crate::frame::ClientFrame;
use crate::ids::RendezvousId;
use crate::limits::{RENDEZVOUS_MESSAGE_BYTES_MAX, RENDEZVOUS_MESSAGES_MAX};

#[derive(Debug)]
pub(super) enum MeetingState {
    None,
    /// To be opened once the relay knows a vault of ours.
    Wanted(RendezvousId),
    /// Opened or joined; the other side is not there yet.
    Waiting(RendezvousId),
    Ready {
        id: RendezvousId,
        said: usize,
        heard: usize,
    },
    Over,
}

impl MeetingState {
    pub(super) fn open(
        &mut self,
        id: RendezvousId,
        vault_known: bool,
        out: &mut VecDeque<Output>,
    ) -> Result<(), LinkError> {
        if !matches!(self, Self::None) {
            return Err(LinkError::Misuse);
        }
        *self = Self::Wanted(id);
        if vault_known {
            self.vault_known(out);
        }
        Ok(())
    }

    pub(super) fn vault_known(&mut self, out: &mut VecDeque<Output>) {
        if let Self::Wanted(id) = *self {
            *self = Self::Waiting(id);
            out.push_back(Output::Send(ClientFrame::RendezvousOpen { id }.encode()));
        }
    }

    pub(super) fn join(&mut self, id: RendezvousId, out: &mut VecDeque<Output>) -> Result<(), LinkError> {
        if !matches!(self, Self::None) {
            return Err(LinkError::Misuse);
        }
        *self = Self::Waiting(id);
        out.push_back(Output::Send(ClientFrame::RendezvousJoin { id }.encode()));
        Ok(())
    }

    pub(super) fn say(&mut self, message: Vec<u8>, out: &mut VecDeque<Output>) -> Result<(), LinkError> {
        match self {
            // Said into a meeting that has just ended: the caller learns it from `Parted`.
            Self::Over => Ok(()),
            Self::Ready { id, said, .. }
                if *said < RENDEZVOUS_MESSAGES_MAX && message.len() <= RENDEZVOUS_MESSAGE_BYTES_MAX =>
            {
                *said += 1;
                out.push_back(Output::Send(ClientFrame::RendezvousData { id: *id, message }.encode()));
                Ok(())
            }
            _ => Err(LinkError::Misuse),
        }
    }

    pub(super) fn ready(&mut self, id: &RendezvousId, out: &mut VecDeque<Output>) -> Result<(), LinkError> {
        match self {
            Self::Waiting(ours) if ours == id => {
                *self = Self::Ready { id: *id, said: 0, heard: 0 };
                out.push_back(Output::Event(Event::Met));
                Ok(())
            }
            _ => Err(LinkError::OutOfPlace { frame: "RENDEZVOUS READY" }),
        }
    }

    pub(super) fn heard(
        &mut self,
        from: &RendezvousId,
        message: Vec<u8>,
        out: &mut VecDeque<Output>,
    ) -> Result<(), LinkError> {
        match self {
            Self::Ready { id, heard, .. } if id == from => {
                *heard += 1;
                if *heard > RENDEZVOUS_MESSAGES_MAX {
                    return Err(LinkError::TooManyMessages);
                }
                out.push_back(Output::Event(Event::Heard { message }));
                Ok(())
            }
            _ => Err(LinkError::OutOfPlace { frame: "RENDEZVOUS DATA" }),
        }
    }

    pub(super) fn parted(&mut self, out: &mut VecDeque<Output>) -> Result<(), LinkError> {
        match self {
            Self::None | Self::Wanted(_) => Err(LinkError::OutOfPlace { frame: "ERROR" }),
            Self::Over => Ok(()),
            Self::Waiting(_) | Self::Ready { .. } => {
                *self = Self::Over;
                out.push_back(Output::Event(Event::Parted));
                Ok(())
            }
        }
    }
}
