//! Chains of statements on the wire: in parts that fit a frame of a peer that has proved nothing.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::VaultId;
use crate::limits;

/// One part of a vault's statements, each encoded, in the order of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementsPart {
    /// Which vault.
    pub vault: VaultId,
    /// Whether it is the last part. An empty one is a whole answer.
    pub last: bool,
    /// The statements.
    pub statements: Vec<Vec<u8>>,
}

impl StatementsPart {
    /// Cuts statements into parts; at least one.
    ///
    /// # Panics
    /// Never for statements within their limit.
    #[must_use]
    pub fn cut(vault: VaultId, statements: impl IntoIterator<Item = Vec<u8>>) -> Vec<Self> {
        let part = || Self { vault, last: false, statements: Vec::new() };
        let (mut parts, mut bytes) = (vec![part()], FIXED_BYTES);
        for statement in statements {
            bytes += 4 + statement.len();
            let full = parts.last().is_none_or(|last| last.statements.len() >= limits::STATEMENTS_PART_MAX);
            if full || bytes > limits::FRAME_BYTES_MAX_UNAUTHENTICATED {
                bytes = FIXED_BYTES + 4 + statement.len();
                parts.push(part());
            }
            parts.last_mut().expect("there is one from the start").statements.push(statement);
        }
        parts.last_mut().expect("there is one from the start").last = true;
        parts
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.bytes(self.vault.as_bytes()).u8(u8::from(self.last)).count(self.statements.len());
        for statement in &self.statements {
            w.prefixed(statement);
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let vault = VaultId::from_bytes(r.array()?);
        let last = match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::NotCanonical { what: "last part" }),
        };
        let count = r.count("statements", limits::STATEMENTS_PART_MAX, 4)?;
        let statements = (0..count)
            .map(|_| r.prefixed("statement", limits::STATEMENT_BYTES_MAX).map(<[u8]>::to_vec))
            .collect::<Result<_, _>>()?;
        Ok(Self { vault, last, statements })
    }
}

/// Tag, vault, last and count.
const FIXED_BYTES: usize = 1 + VaultId::LEN + 1 + 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ClientFrame;

    #[test]
    fn a_chain_of_any_length_goes_in_parts_that_strangers_may_send() {
        let vault = VaultId::from_bytes([5; 32]);
        for (count, len) in [(0, 0), (1, 4096), (3, 4096), (4, 4096), (200, 600), (1024, 4096), (1024, 1)] {
            let chain: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8; len]).collect();
            let parts = StatementsPart::cut(vault, chain.clone());
            let lasts: Vec<_> = parts.iter().map(|part| part.last).collect();
            assert_eq!(lasts.iter().filter(|last| **last).count(), 1, "{count} of {len}");
            assert!(lasts.last().is_some_and(|last| *last), "{count} of {len}");
            let mut joined = Vec::new();
            for part in parts {
                let frame = ClientFrame::Statements(part).encode().slice(4..);
                assert!(frame.len() <= limits::FRAME_BYTES_MAX_UNAUTHENTICATED, "{count} of {len}");
                let Ok(ClientFrame::Statements(part)) = ClientFrame::decode(&frame) else { panic!("a part") };
                assert!(!part.statements.is_empty() || count == 0);
                joined.extend(part.statements);
            }
            assert_eq!(joined, chain, "{count} of {len}");
        }
    }
}
