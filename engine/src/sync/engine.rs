//! An open store and the links that sync it: what the handles of an application share.

use std::ops::Deref;

use super::control::Links;
use crate::life::Core;

/// See the module's documentation. Whatever a store can do by itself is there through [`Core`].
pub(crate) struct Engine {
    core: Core,
    /// The links of this device.
    pub(crate) links: Links,
}

impl Engine {
    pub(crate) fn new(core: Core) -> Self {
        Self { core, links: Links::default() }
    }
}

impl Deref for Engine {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}
