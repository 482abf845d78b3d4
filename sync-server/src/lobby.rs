//! Carries out what [`Door`] decides: each link holds a [`Guest`], which tells the door how it goes on, and hears
//! when it has to leave.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subrosa_protocol::relay_link::Origin;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::strangers::{Address, Answer, Door, Ticket, Tried};

/// The door, and the links behind it. Its lock is held for moments, never across an await.
pub(crate) struct Lobby {
    clock: Clock,
    inside: Mutex<Inside>,
}

struct Inside {
    door: Door,
    /// How to tell a stranger that it has to go.
    strangers: HashMap<Ticket, Arc<Notify>>,
}

/// What becomes of a newcomer.
pub(crate) enum Welcome {
    Enter(Guest),
    ShowAddress,
    Refused,
}

impl Lobby {
    pub(crate) fn new(clock: Clock, links_max: usize) -> Self {
        let door = Door::new(clock.now().mono, links_max);
        Self { clock, inside: Mutex::new(Inside { door, strangers: HashMap::new() }) }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants in.
    pub(crate) fn knock(self: &Arc<Self>, addr: IpAddr, address: Address) -> Welcome {
        let origin = Origin::of(addr);
        let mut inside = self.inside();
        match inside.door.knock(self.clock.now().mono, origin, address) {
            Answer::ShowAddress => Welcome::ShowAddress,
            Answer::Refused => Welcome::Refused,
            Answer::Enter { ticket, instead_of } => {
                if let Some(shown_out) = instead_of.and_then(|ticket| inside.strangers.remove(&ticket)) {
                    shown_out.notify_one();
                }
                let shown_out = Arc::new(Notify::new());
                inside.strangers.insert(ticket, Arc::clone(&shown_out));
                Welcome::Enter(Guest { lobby: Arc::clone(self), ticket, origin, shown_out })
            }
        }
    }

    pub(crate) fn tried(&self) -> Tried {
        self.inside().door.tried()
    }
}

/// One link's place; given back when dropped.
pub(crate) struct Guest {
    lobby: Arc<Lobby>,
    ticket: Ticket,
    origin: Origin,
    shown_out: Arc<Notify>,
}

impl Guest {
    /// Where the link comes from.
    pub(crate) const fn origin(&self) -> Origin {
        self.origin
    }

    /// Rings once the link has to give its place to another.
    pub(crate) fn shown_out(&self) -> Arc<Notify> {
        Arc::clone(&self.shown_out)
    }

    /// The link is in a meeting.
    pub(crate) fn met(&self) {
        self.lobby.inside().door.met(self.ticket);
    }

    /// The link's peer has proved a key.
    pub(crate) fn proved(&self) {
        let now = self.lobby.clock.now().mono;
        let mut inside = self.lobby.inside();
        inside.door.proved(now, self.ticket);
        inside.strangers.remove(&self.ticket);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.lobby.inside();
        inside.door.gone(self.ticket);
        inside.strangers.remove(&self.ticket);
    }
}
