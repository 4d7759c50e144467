//! The reference model: what a pool should hold after any sequence of operations, as plainly as it can be said.
//!
//! A tree of nodes in memory, files with sparse contents, handles by slot, snapshots as deep copies under `/.snapshots`.
//! There is one model for a pool however many members use it: members see each other's changes at once.
//!
//! | file | what it holds |
//! |---|---|
//! | `model.rs` | nodes, handles, path lookup, copying trees |
//! | `model/names.rs` | operations on names and snapshots |
//! | `model/files.rs` | operations on open files and batches |
//! | `model/apply.rs` | one [`crate::op::Op`] in, what is to be expected out |

pub mod apply;
mod files;
mod names;

use std::collections::BTreeMap;

use daxcow::ErrorKind;

use crate::content::Content;
use crate::op::{Member, Slot};

/// The number of a node of the model; hard links are names of one node.
pub type NodeId = u64;

/// The directory that holds all snapshots.
pub const SNAPSHOTS: &str = "/.snapshots";

/// An operation that has to fail: the kinds of error that are right for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal(pub &'static [ErrorKind]);

/// A result of the model.
pub type Modelled<T> = Result<T, Refusal>;

const NOT_FOUND: Refusal = Refusal(&[ErrorKind::NotFound]);
const EXISTS: Refusal = Refusal(&[ErrorKind::AlreadyExists]);
const NOT_A_DIRECTORY: Refusal = Refusal(&[ErrorKind::NotADirectory]);
const IS_A_DIRECTORY: Refusal = Refusal(&[ErrorKind::IsADirectory]);
const NOT_EMPTY: Refusal = Refusal(&[ErrorKind::DirectoryNotEmpty]);
const INVALID: Refusal = Refusal(&[ErrorKind::InvalidInput]);
const BUSY: Refusal = Refusal(&[ErrorKind::Busy]);
const BUSY_OR_NO_DIRECTORY: Refusal = Refusal(&[ErrorKind::Busy, ErrorKind::NotADirectory]);
const STALE: Refusal = Refusal(&[ErrorKind::Stale]);
/// A stale batch and a name that cannot be removed: either may be named.
const STALE_OR_NAME: Refusal = Refusal(&[
    ErrorKind::Stale,
    ErrorKind::NotFound,
    ErrorKind::IsADirectory,
    ErrorKind::NotADirectory,
    ErrorKind::ReadOnly,
]);
const READ_ONLY: Refusal = Refusal(&[ErrorKind::ReadOnly]);
const NO_WRITE_ACCESS: Refusal =
    Refusal(&[ErrorKind::ReadOnly, ErrorKind::PermissionDenied, ErrorKind::InvalidInput]);
/// Changing a snapshot fails; which of several reasons is named is left open.
const IN_SNAPSHOT: Refusal = Refusal(&[
    ErrorKind::ReadOnly,
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::NotADirectory,
    ErrorKind::IsADirectory,
    ErrorKind::DirectoryNotEmpty,
    ErrorKind::InvalidInput,
    ErrorKind::PermissionDenied,
    ErrorKind::Busy,
]);

/// A file or a directory.
#[derive(Clone, Debug)]
pub enum Node {
    /// A file: all its names mean this node.
    File(FileNode),
    /// A directory: names to nodes.
    Directory(BTreeMap<String, NodeId>),
}

/// A file of the model.
#[derive(Clone, Debug, Default)]
pub struct FileNode {
    /// What it holds.
    pub content: Content,
    /// Names it has; 0 while it only lives on in handles.
    pub links: u64,
    /// Part of a snapshot.
    pub frozen: bool,
    /// Holders of the numbered locks: (lock, slot) to whether exclusively.
    pub locks: BTreeMap<(u8, Slot), bool>,
}

/// An open file.
#[derive(Clone, Debug)]
pub struct Handle {
    /// The file.
    pub node: NodeId,
    /// The member that opened it.
    pub member: Member,
    /// Opened for writing.
    pub writable: bool,
    /// Replaced by a forced rollback.
    pub stale: bool,
    /// The open batch: what the file will hold.
    pub batch: Option<Content>,
    /// Whether the batch has been written to since it was opened, committed or discarded.
    pub dirty: bool,
}

/// The whole state.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: BTreeMap<NodeId, Node>,
    next: NodeId,
    root: NodeId,
    handles: BTreeMap<Slot, Handle>,
    /// Name to the paths that were asked for; empty for the whole pool.
    snapshots: BTreeMap<String, Vec<String>>,
}

impl Default for Model {
    fn default() -> Model {
        let nodes = BTreeMap::from([(0, Node::Directory(BTreeMap::new()))]);
        Model { nodes, next: 1, root: 0, handles: BTreeMap::new(), snapshots: BTreeMap::new() }
    }
}

/// The components of a path.
fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|component| !component.is_empty())
}

/// Whether `path` is `ancestor` or lies under it.
#[must_use]
pub fn is_within(path: &str, ancestor: &str) -> bool {
    let mut theirs = components(path);
    components(ancestor).all(|component| theirs.next() == Some(component))
}

impl Model {
    /// The node a path names.
    ///
    /// # Errors
    /// Where a component is missing or is a file.
    pub fn lookup(&self, path: &str) -> Modelled<NodeId> {
        let mut at = self.root;
        for component in components(path) {
            let Node::Directory(names) = self.node(at) else { return Err(NOT_A_DIRECTORY) };
            at = *names.get(component).ok_or(NOT_FOUND)?;
        }
        Ok(at)
    }

    /// The directory a path lies in, and the last component.
    fn parent<'p>(&self, path: &'p str) -> Modelled<(NodeId, &'p str)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            return Err(Refusal(&[
                ErrorKind::InvalidInput,
                ErrorKind::Busy,
                ErrorKind::AlreadyExists,
                ErrorKind::IsADirectory,
            ]));
        }
        let parent = self.lookup(directory)?;
        match self.node(parent) {
            Node::Directory(_) => Ok((parent, name)),
            Node::File(_) => Err(NOT_A_DIRECTORY),
        }
    }

    /// The node of that number.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[&id]
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// The names in a directory; empty for a file.
    #[must_use]
    pub fn names(&self, id: NodeId) -> Vec<(&str, NodeId)> {
        match self.node(id) {
            Node::Directory(names) => names.iter().map(|(name, &node)| (name.as_str(), node)).collect(),
            Node::File(_) => Vec::new(),
        }
    }

    /// The file of that number, if it is one.
    #[must_use]
    pub fn file(&self, id: NodeId) -> Option<&FileNode> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    fn file_mut(&mut self, id: NodeId) -> &mut FileNode {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => file,
            other => panic!("node {id} is no file: {other:?}"),
        }
    }

    /// Gives a file other contents.
    pub fn set_content(&mut self, id: NodeId, content: Content) {
        self.file_mut(id).content = content;
    }

    fn entries_mut(&mut self, id: NodeId) -> &mut BTreeMap<String, NodeId> {
        match self.nodes.get_mut(&id) {
            Some(Node::Directory(names)) => names,
            other => panic!("node {id} is no directory: {other:?}"),
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        id
    }

    /// The handle in a slot.
    #[must_use]
    pub fn handle(&self, slot: Slot) -> Option<&Handle> {
        self.handles.get(&slot)
    }

    /// The slots in use.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.handles.keys().copied()
    }

    /// What the file in a slot holds.
    #[must_use]
    pub fn content(&self, slot: Slot) -> Option<&Content> {
        self.file(self.handles.get(&slot)?.node).map(|file| &file.content)
    }

    /// Whether both have the same files, with the same contents, under the same names, open or not.
    #[must_use]
    pub fn same_files(&self, other: &Model) -> bool {
        let same_node = |(id, node): (&NodeId, &Node)| match (node, other.nodes.get(id)) {
            (Node::File(one), Some(Node::File(two))) => {
                one.links == two.links && one.content.difference(&two.content).is_none()
            }
            (Node::Directory(one), Some(Node::Directory(two))) => one == two,
            _ => false,
        };
        self.nodes.len() == other.nodes.len() && self.nodes.iter().all(same_node)
    }

    /// The snapshots by name.
    #[must_use]
    pub fn snapshots(&self) -> &BTreeMap<String, Vec<String>> {
        &self.snapshots
    }

    /// All paths outside the snapshots with their nodes, the root left out, parents first.
    #[must_use]
    pub fn paths(&self) -> Vec<(String, NodeId)> {
        let mut found = Vec::new();
        self.walk(self.root, "", &mut |path, id| {
            if !is_within(path, SNAPSHOTS) {
                found.push((path.to_owned(), id));
            }
        });
        found
    }

    /// Calls `visit` for everything below the directory `id`, whose path is `path`.
    pub fn walk(&self, id: NodeId, path: &str, visit: &mut dyn FnMut(&str, NodeId)) {
        for (name, child) in self.names(id) {
            let child_path = format!("{path}/{name}");
            visit(&child_path, child);
            self.walk(child, &child_path, visit);
        }
    }

    /// A deep copy of a tree; hard links within it stay links.
    fn copy_tree(&mut self, id: NodeId, frozen: bool, done: &mut BTreeMap<NodeId, NodeId>) -> NodeId {
        match self.node(id).clone() {
            Node::Directory(names) => {
                let kept_out = self.snapshot_directory();
                let copies = names
                    .into_iter()
                    .filter(|&(_, child)| Some(child) != kept_out)
                    .map(|(name, child)| (name, self.copy_tree(child, frozen, done)))
                    .collect();
                self.add(Node::Directory(copies))
            }
            Node::File(file) => {
                let copy = match done.get(&id) {
                    Some(&copy) => copy,
                    None => {
                        let content = file.content;
                        self.add(Node::File(FileNode { content, frozen, ..FileNode::default() }))
                    }
                };
                done.insert(id, copy);
                self.file_mut(copy).links += 1;
                copy
            }
        }
    }

    fn snapshot_directory(&self) -> Option<NodeId> {
        self.lookup(SNAPSHOTS).ok()
    }

    /// Takes all names below `id` away, and the link of `id` itself if it is a file.
    fn drop_tree(&mut self, id: NodeId) {
        match self.node(id).clone() {
            Node::Directory(names) => names.into_values().for_each(|child| self.drop_tree(child)),
            Node::File(_) => self.file_mut(id).links -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::apply::Expected;
    use super::*;
    use crate::op::{Op, OpenHow, Span, Value};

    const HOW: OpenHow = OpenHow { write: true, create: true, create_new: false, truncate: false };

    fn open(slot: Slot, path: &str) -> Op {
        Op::Open { slot, member: 0, path: path.into(), how: HOW }
    }

    fn write(slot: Slot, seed: u64) -> Op {
        Op::Write { slot, span: Span { offset: 10, len: 4 }, seed }
    }

    fn read(model: &Model, path: &str) -> Vec<u8> {
        let id = model.lookup(path).expect("the path exists");
        model.file(id).expect("it is a file").content.read(10, 4)
    }

    #[test]
    fn a_snapshot_keeps_what_a_rollback_brings_back() {
        let mut model = Model::default();
        for op in [
            open(0, "/f"),
            write(0, 5),
            Op::Snapshot { member: 0, name: "s".into(), paths: vec![] },
            write(0, 6),
        ] {
            assert_eq!(model.apply(&op), Expected::Value(Value::Done), "{op:?}");
        }
        let kept = crate::rng::pattern(5, 4);
        assert_eq!(read(&model, "/.snapshots/s/f"), kept);
        assert_ne!(read(&model, "/f"), kept);
        let rollback = |force| Op::Rollback { member: 0, name: "s".into(), force };
        assert_eq!(model.apply(&rollback(false)), Expected::Refused(&[ErrorKind::Busy]));
        assert_eq!(model.apply(&rollback(true)), Expected::Value(Value::Done));
        assert_eq!(read(&model, "/f"), kept);
        assert_eq!(model.apply(&write(0, 7)), Expected::Refused(&[ErrorKind::Stale]));
    }

    #[test]
    fn a_batch_shows_nothing_until_it_is_committed() {
        let mut model = Model::default();
        let before = vec![0; 4];
        for op in [open(0, "/f"), open(1, "/f"), Op::SetLen { slot: 0, len: 20 }, Op::BatchOpen { slot: 0 }] {
            assert_eq!(model.apply(&op), Expected::Value(Value::Done), "{op:?}");
        }
        model.apply(&Op::BatchWrite { slot: 0, span: Span { offset: 10, len: 4 }, seed: 9 });
        assert_eq!(read(&model, "/f"), before);
        assert_eq!(model.apply(&write(1, 3)), Expected::Refused(&[ErrorKind::Busy]));
        model.apply(&Op::BatchCommit { slot: 0 });
        assert_eq!(read(&model, "/f"), crate::rng::pattern(9, 4));
    }

    #[test]
    fn links_are_names_of_one_file_and_are_counted() {
        let mut model = Model::default();
        model.apply(&open(0, "/f"));
        model.apply(&Op::HardLink { member: 0, existing: "/f".into(), new: "/g".into() });
        model.apply(&Op::Rename { member: 0, from: "/f".into(), to: "/h".into() });
        model.apply(&write(0, 4));
        assert_eq!(read(&model, "/g"), read(&model, "/h"));
        assert_eq!(model.apply(&Op::Stat { slot: 0 }), Expected::Value(Value::File { len: 14, links: 2 }));
        model.apply(&Op::RemoveFile { member: 0, path: "/g".into() });
        assert_eq!(model.apply(&Op::Stat { slot: 0 }), Expected::Value(Value::File { len: 14, links: 1 }));
    }
}
