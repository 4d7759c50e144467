//! What an inode's durable half says, and which of its words can be believed where it contradicts itself.

use std::sync::atomic::Ordering;

use super::Census;
use crate::error::{Error, ErrorKind, Result};
use crate::format::entry::{LOST_ROOT, Root};
use crate::format::inode::{self, DURABLE_BYTES, Kind, KindWord};
use crate::inode::Inode;

/// What the durable half of an inode in use says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InodeFacts {
    pub(crate) inode: Inode,
    pub(crate) kind: KindWord,
    pub(crate) links: u32,
    pub(crate) size: u64,
    pub(crate) root: Option<Root>,
}

/// An inode whose durable half contradicts itself, and which of its words can be believed.
#[derive(Clone, Debug)]
pub(crate) struct DamagedInode {
    pub(crate) inode: Inode,
    pub(crate) kind: Option<KindWord>,
    pub(crate) links: Option<u32>,
    /// The root, `Some(None)` for an empty map.
    pub(crate) root: Option<Option<Root>>,
    /// What is wrong: structure and what the error says.
    pub(crate) faults: Vec<(Fault, String)>,
}

/// Which part of an inode is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Kind,
    Root,
    Links,
    Size,
    /// What is written once.
    Birth,
    /// The medium has lost it.
    Lost,
}

impl Census<'_> {
    /// Reads an inode's durable half; nothing where it is free or damaged, which is a problem.
    pub(super) fn inode_at(&self, inode: Inode) -> Result<Option<InodeFacts>> {
        let mut bytes = [0; DURABLE_BYTES];
        match self.region.read(inode.place, &mut bytes) {
            Ok(()) => Ok(self.decode(&bytes, inode)),
            Err(error) if error.kind() == ErrorKind::MediaError => {
                self.hidden.store(true, Ordering::Relaxed);
                let faults = vec![(Fault::Lost, error.to_string())];
                self.damaged.lock().push(DamagedInode { inode, kind: None, links: None, root: None, faults });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn decode(&self, bytes: &[u8; DURABLE_BYTES], inode: Inode) -> Option<InodeFacts> {
        let word = |at: u64| {
            let at = usize::try_from(at).unwrap_or(0);
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default())
        };
        let number = inode.number;
        let (kind_word, root_word) = (word(inode::at::KIND), word(inode::at::ROOT));
        let kind = KindWord::decode(kind_word, number);
        if let Ok(KindWord { kind: Kind::Free, .. }) = kind {
            return None;
        }
        let given_up = root_word == LOST_ROOT;
        let root = if given_up { Ok(None) } else { Root::decode(root_word) }.map_err(|_| {
            Error::corrupt("root word", number, "a checked word", format_args!("{root_word:#018x}"))
        });
        let links = inode::decode_links(word(inode::at::LINKS), number);
        let size = inode::decode_size(word(inode::at::SIZE), number);
        let birth = inode::decode_birth(bytes, number);
        if let (Ok(kind), Ok(root), Ok(links), Ok(size), Ok(_)) = (&kind, &root, &links, &size, &birth) {
            self.lost.fetch_add(given_up.into(), Ordering::Relaxed);
            return Some(InodeFacts { inode, kind: *kind, links: *links, size: *size, root: *root });
        }
        let damaged = DamagedInode {
            inode,
            kind: kind.as_ref().ok().copied(),
            links: links.as_ref().ok().copied(),
            root: root.as_ref().ok().copied(),
            faults: [
                (Fault::Kind, kind.err()),
                (Fault::Root, root.err()),
                (Fault::Links, links.err()),
                (Fault::Size, size.err()),
                (Fault::Birth, birth.err()),
            ]
            .into_iter()
            .filter_map(|(fault, error)| Some((fault, error?.to_string())))
            .collect(),
        };
        if damaged.root.is_none() {
            self.hidden.store(true, Ordering::Relaxed);
        }
        self.damaged.lock().push(damaged);
        None
    }
}
