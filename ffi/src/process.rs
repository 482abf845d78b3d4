//! What belongs to a process, and not to the children that are forked from it.
//!
//! A child inherits the memory and none of the threads: a lock that another thread held at the fork is held for ever
//! there. So a child leaves what its parent had as it found it, and begins with its own.

use std::sync::OnceLock;

use crate::fork_sign::fork_sign;

/// A value for each process that asks for it.
pub(crate) struct PerProcess<T> {
    first: OnceLock<Node<T>>,
}

struct Node<T> {
    process: u64,
    /// How many processes up the line had one.
    depth: usize,
    value: T,
    child: OnceLock<Box<Node<T>>>,
}

impl<T> Node<T> {
    fn new(depth: usize, make: impl FnOnce(usize) -> T) -> Self {
        Self { process: fork_sign(), depth, value: make(depth), child: OnceLock::new() }
    }
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { first: OnceLock::new() }
    }

    /// Whether this process or one that it descends from has one.
    pub(crate) fn is_known(&self) -> bool {
        self.first.get().is_some()
    }

    /// This process's, if it has asked for it.
    pub(crate) fn get(&self) -> Option<&T> {
        let process = fork_sign();
        let mut node = self.first.get()?;
        while node.process != process {
            node = node.child.get()?;
        }
        Some(&node.value)
    }

    /// This process's, made if need be; `make` is told how many processes up the line had one.
    pub(crate) fn get_or_new(&self, make: impl Fn(usize) -> T) -> &T {
        let process = fork_sign();
        let mut node = self.first.get_or_init(|| Node::new(0, &make));
        while node.process != process {
            node = node.child.get_or_init(|| Box::new(Node::new(node.depth + 1, &make)));
        }
        &node.value
    }
}
