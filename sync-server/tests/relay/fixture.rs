//! Vaults, logs and segments as a device would make them; bodies are noise, since a relay cannot tell.

use std::sync::atomic::{AtomicU64, Ordering};

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use subrosa_protocol::frame::{ClientFrame, FeedFrame, Role, StatementsPart};
use subrosa_protocol::ids::{
    Base, Chain, Epoch, Generation, Head, LogId, PublicKeyBytes, Seq, Signature, VaultId,
};
use subrosa_protocol::labels;
use subrosa_protocol::segment::{GroupPlace, Header, Kind, SealedSegment};
use subrosa_protocol::statement::{Signer, Statement, recovery_commitment};
use subrosa_protocol::vouch::Vouch;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A P-256 key; every call makes another one.
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new() -> Self {
        let mut bytes = [0x42; 32];
        bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        bytes[0] = 1; // below the order
        Self(SigningKey::from_slice(&bytes).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKeyBytes {
        let point = self.0.verifying_key().to_sec1_point(false);
        PublicKeyBytes::from_bytes(point.as_bytes().try_into().unwrap())
    }

    pub(crate) fn sign(&self, label: &[u8], payload: &[u8]) -> Signature {
        let signature: p256::ecdsa::Signature = self.0.sign(&[label, payload].concat());
        Signature::from_bytes(signature.normalize_s().to_bytes().into())
    }
}

/// One log and where it stands.
pub(crate) struct Log {
    pub(crate) key: Key,
    pub(crate) id: LogId,
    pub(crate) kind: Kind,
    pub(crate) next: Seq,
    pub(crate) chain: Chain,
}

impl Log {
    pub(crate) fn new(kind: Kind) -> Self {
        let key = Key::new();
        let id = LogId::of(&key.public());
        Self { key, id, kind, next: Seq(0), chain: Chain::ZERO }
    }

    /// Seals the next segment.
    pub(crate) fn segment(&mut self, vault: &VaultId, body_bytes: usize) -> SealedSegment {
        self.segment_of(vault, self.kind, body_bytes)
    }

    /// Seals the next segment, of any kind.
    pub(crate) fn segment_of(&mut self, vault: &VaultId, kind: Kind, body_bytes: usize) -> SealedSegment {
        let segment = self.seal(vault, kind, self.next, self.chain, body_bytes);
        self.chain = segment.preimage(vault).chain();
        self.next = self.next.next();
        segment
    }

    /// Seals any segment, honest or not; the log does not move.
    pub(crate) fn seal(
        &self,
        vault: &VaultId,
        kind: Kind,
        seq: Seq,
        prev: Chain,
        body_bytes: usize,
    ) -> SealedSegment {
        let noise = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let body: Vec<u8> = noise.iter().copied().cycle().take(body_bytes.max(16)).collect();
        let mut salt = [7; 16];
        salt[..8].copy_from_slice(&noise);
        let body_len = u32::try_from(body.len()).unwrap();
        let (place, epoch, commit) = (GroupPlace::Whole, Epoch(0), [9; 32]);
        let header = Header { kind, place, log: self.id, seq, epoch, prev, salt, commit, body_len };
        let unsigned = SealedSegment::assemble(header, &body, &Signature::from_bytes([0; 64]));
        let signature = self.key.sign(labels::CHAIN, unsigned.preimage(vault).as_bytes());
        SealedSegment::assemble(header, &body, &signature)
    }

    pub(crate) fn head(&self) -> Head {
        Head { log: self.id, seq: Seq(self.next.0 - 1), chain: self.chain }
    }
}

/// A vault with its founder's keys and logs.
pub(crate) struct Vault {
    pub(crate) id: VaultId,
    pub(crate) read: Key,
    pub(crate) write: Key,
    pub(crate) recovery: Key,
    pub(crate) admin: Key,
    pub(crate) control: Log,
    pub(crate) data: Log,
    pub(crate) statements: Vec<Statement>,
    /// Read and write keys of the statements before the last one.
    pub(crate) past: Vec<(Key, Key)>,
}

pub(crate) const NONCE: [u8; 16] = [5; 16];

impl Vault {
    pub(crate) fn new() -> Self {
        let (read, write, recovery, admin) = (Key::new(), Key::new(), Key::new(), Key::new());
        let (control, data) = (Log::new(Kind::CONTROL), Log::new(Kind::DATA));
        let commitment = recovery_commitment(&recovery.public(), &NONCE);
        let genesis = [NEXT.fetch_add(1, Ordering::Relaxed) as u8; 32];
        let id = VaultId::derive(&commitment, &genesis, &admin.public());
        let mut vault = Self {
            id,
            read,
            write,
            recovery,
            admin,
            control,
            data,
            statements: Vec::new(),
            past: Vec::new(),
        };
        let first = Statement {
            vault: id,
            generation: Generation(0),
            epoch: Epoch(0),
            read: vault.read.public(),
            write: vault.write.public(),
            admins: vec![vault.admin.public()],
            recovery_commitment: commitment,
            previous: genesis,
            signer: Signer::Admin(vault.admin.public()),
            signature: Signature::from_bytes([0; 64]),
        };
        vault.statements.push(sign_statement(first, &vault.admin));
        vault
    }

    /// The statement that would follow the last one, with new read and write keys in the next epoch.
    pub(crate) fn next_statement(&self, read: &Key, write: &Key) -> Statement {
        let last = self.statements.last().unwrap();
        let next = Statement {
            generation: last.generation.next(),
            epoch: Epoch(last.epoch.0 + 1),
            read: read.public(),
            write: write.public(),
            previous: last.hash(),
            signer: Signer::Admin(self.admin.public()),
            ..last.clone()
        };
        sign_statement(next, &self.admin)
    }

    /// Two rivals that would follow the last statement; the first stands earlier.
    pub(crate) fn rivals(&self) -> [Statement; 2] {
        let mut rivals = [(); 2].map(|()| self.next_statement(&Key::new(), &Key::new()));
        rivals.sort_by_key(Statement::hash);
        rivals
    }

    /// The next statement becomes the last one, with new keys.
    pub(crate) fn advance(&mut self) {
        let (read, write) = (Key::new(), Key::new());
        self.statements.push(self.next_statement(&read, &write));
        self.past.push((std::mem::replace(&mut self.read, read), std::mem::replace(&mut self.write, write)));
    }

    /// The admin's vouch for a log.
    pub(crate) fn vouch(&self, log: &Log) -> Vouch {
        let bytes = Vouch::signed_bytes(&self.id, &log.key.public());
        Vouch { admin: self.admin.public(), signature: self.admin.sign(labels::VOUCH, &bytes) }
    }

    /// LOG for one of its logs, vouched for if it is the control log.
    pub(crate) fn log_frame(&self, log: &Log) -> ClientFrame {
        let vouch = (log.kind == Kind::CONTROL).then(|| self.vouch(log));
        ClientFrame::Log { vault: self.id, public: log.key.public(), base: Base::WHOLE, vouch }
    }

    /// Its chain, in parts.
    pub(crate) fn parts(&self) -> Vec<ClientFrame> {
        StatementsPart::cut(self.id, self.encoded()).into_iter().map(ClientFrame::Statements).collect()
    }

    pub(crate) fn key(&self, role: Role) -> &Key {
        match role {
            Role::Reader => &self.read,
            Role::Writer => &self.write,
        }
    }

    pub(crate) fn encoded(&self) -> Vec<Vec<u8>> {
        self.statements.iter().map(Statement::encode).collect()
    }
}

/// Signs a statement in the name that it gives.
pub(crate) fn sign_statement(statement: Statement, key: &Key) -> Statement {
    let signature = key.sign(labels::STATEMENT, &statement.signed_bytes());
    Statement { signature, ..statement }
}

impl Vault {
    /// Puts the data log back to the last segment of a feed, as a device does whose tail did not arrive.
    pub(crate) fn rewind(&mut self, frames: &[FeedFrame]) {
        (self.data.next, self.data.chain) = (Seq(0), Chain::ZERO);
        for frame in frames {
            if let FeedFrame::Segment { segment, .. } = frame {
                self.data.chain = segment.preimage(&self.id).chain();
                self.data.next = segment.header().seq.next();
            }
        }
    }
}
