//! The model's operations on names, trees and snapshots.

use std::collections::BTreeMap;

use daxcow::ErrorKind;

use super::{
    BUSY, BUSY_OR_NO_DIRECTORY, EXISTS, FileNode, IN_SNAPSHOT, IS_A_DIRECTORY, Model, Modelled,
    NOT_A_DIRECTORY, NOT_EMPTY, NOT_FOUND, Node, NodeId, Refusal, SNAPSHOTS, is_within,
};
use crate::op::Slot;

/// Neither is there anything to clone nor is its place free.
const MISSING_AND_EXISTS: Refusal =
    Refusal(&[ErrorKind::AlreadyExists, ErrorKind::NotFound, ErrorKind::NotADirectory]);

/// Refuses paths that lie in a snapshot.
fn writable(path: &str) -> Modelled<()> {
    if is_within(path, SNAPSHOTS) { Err(IN_SNAPSHOT) } else { Ok(()) }
}

impl Model {
    pub(super) fn create_dir(&mut self, path: &str) -> Modelled<()> {
        writable(path)?;
        let (parent, name) = self.parent(path)?;
        if self.lookup(path).is_ok() {
            return Err(EXISTS);
        }
        let directory = self.add(Node::Directory(BTreeMap::new()));
        self.entries_mut(parent).insert(name.to_owned(), directory);
        Ok(())
    }

    pub(super) fn create_dir_all(&mut self, path: &str) -> Modelled<()> {
        writable(path)?;
        let mut at = String::new();
        for name in super::components(path) {
            at = format!("{at}/{name}");
            match self.lookup(&at) {
                Ok(id) if self.file(id).is_some() => return Err(NOT_A_DIRECTORY),
                Ok(_) => {}
                Err(_) => self.create_dir(&at)?,
            }
        }
        Ok(())
    }

    pub(super) fn create_file(&mut self, path: &str) -> Modelled<NodeId> {
        writable(path)?;
        let (parent, name) = self.parent(path)?;
        let file = self.add(Node::File(FileNode { links: 1, ..FileNode::default() }));
        self.entries_mut(parent).insert(name.to_owned(), file);
        Ok(file)
    }

    pub(super) fn remove_file(&mut self, path: &str) -> Modelled<()> {
        writable(path)?;
        let (parent, name) = self.parent(path)?;
        let id = self.lookup(path)?;
        if self.file(id).is_none() {
            return Err(IS_A_DIRECTORY);
        }
        self.file_mut(id).links -= 1;
        self.entries_mut(parent).remove(name);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &str, recursive: bool) -> Modelled<()> {
        writable(path)?;
        let (parent, name) = self.parent(path)?;
        let id = self.lookup(path)?;
        match self.node(id) {
            Node::File(_) if !recursive => return Err(NOT_A_DIRECTORY),
            Node::File(_) => return self.remove_file(path),
            Node::Directory(names) if !recursive && !names.is_empty() => return Err(NOT_EMPTY),
            Node::Directory(_) => self.drop_tree(id),
        }
        self.entries_mut(parent).remove(name);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Modelled<()> {
        writable(from)?;
        writable(to)?;
        let (old_parent, old_name) = self.parent(from)?;
        let id = self.lookup(from)?;
        if from != to && is_within(to, from) {
            return Err(match self.node(id) {
                Node::File(_) => NOT_A_DIRECTORY,
                Node::Directory(_) => {
                    Refusal(&[ErrorKind::InvalidInput, ErrorKind::NotFound, ErrorKind::NotADirectory])
                }
            });
        }
        let (new_parent, new_name) = self.parent(to)?;
        if let Ok(target) = self.lookup(to) {
            if target == id {
                return Ok(());
            }
            match (self.node(id), self.node(target)) {
                (Node::File(_), Node::Directory(_)) if is_within(from, to) => {
                    return Err(Refusal(&[ErrorKind::IsADirectory, ErrorKind::DirectoryNotEmpty]));
                }
                (Node::File(_), Node::Directory(_)) => return Err(IS_A_DIRECTORY),
                (Node::Directory(_), Node::File(_)) => return Err(NOT_A_DIRECTORY),
                (_, Node::Directory(names)) if !names.is_empty() => return Err(NOT_EMPTY),
                _ => self.drop_tree(target),
            }
        }
        self.entries_mut(old_parent).remove(old_name);
        self.entries_mut(new_parent).insert(new_name.to_owned(), id);
        Ok(())
    }

    pub(super) fn hard_link(&mut self, existing: &str, new: &str) -> Modelled<()> {
        writable(existing)?;
        writable(new)?;
        let id = self.lookup(existing)?;
        if self.file(id).is_none() {
            return Err(Refusal(&[
                ErrorKind::IsADirectory,
                ErrorKind::PermissionDenied,
                ErrorKind::InvalidInput,
                ErrorKind::AlreadyExists,
                ErrorKind::NotFound,
                ErrorKind::NotADirectory,
            ]));
        }
        let (parent, name) = self.parent(new)?;
        self.link_at(id, parent, name)
    }

    /// Names for open files: all of them, or none.
    pub(super) fn link(&mut self, files: &[(Slot, String)]) -> Modelled<()> {
        let before = self.clone();
        for (slot, path) in files {
            if let Err(refusal) = self.link_one(self.handles[slot].node, path) {
                *self = before;
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn link_one(&mut self, id: NodeId, path: &str) -> Modelled<()> {
        writable(path)?;
        let (parent, name) = self.parent(path)?;
        self.link_at(id, parent, name)
    }

    fn link_at(&mut self, id: NodeId, parent: NodeId, name: &str) -> Modelled<()> {
        if self.names(parent).iter().any(|(known, _)| *known == name) {
            return Err(EXISTS);
        }
        self.file_mut(id).links += 1;
        self.entries_mut(parent).insert(name.to_owned(), id);
        Ok(())
    }

    pub(super) fn clone_tree(&mut self, from: &str, to: &str) -> Modelled<()> {
        writable(to)?;
        let source = self.lookup(from);
        let place = self.parent(to);
        if self.lookup(to).is_ok() {
            // Of two reasons to refuse either may be named.
            return Err(if source.is_ok() { EXISTS } else { MISSING_AND_EXISTS });
        }
        let (source, (parent, name)) = (source?, place?);
        let copy = self.copy_tree(source, false, &mut BTreeMap::new());
        self.entries_mut(parent).insert(name.to_owned(), copy);
        Ok(())
    }

    pub(super) fn snapshot(&mut self, name: &str, paths: &[String]) -> Modelled<()> {
        if self.snapshots.contains_key(name) {
            return Err(EXISTS);
        }
        let sources: Vec<NodeId> = paths.iter().map(|path| self.lookup(path)).collect::<Modelled<_>>()?;
        let mut done = BTreeMap::new();
        let top = if paths.is_empty() {
            self.copy_tree(self.root, true, &mut done)
        } else {
            let top = self.add(Node::Directory(BTreeMap::new()));
            for (path, source) in paths.iter().zip(sources) {
                let copy = self.copy_tree(source, true, &mut done);
                self.graft(top, path, copy);
            }
            top
        };
        self.graft(self.root, &format!("{SNAPSHOTS}/{name}"), top);
        self.snapshots.insert(name.to_owned(), paths.to_vec());
        Ok(())
    }

    /// Puts `node` at `path` below `top`, making the directories between.
    fn graft(&mut self, top: NodeId, path: &str, node: NodeId) {
        let mut parts: Vec<&str> = super::components(path).collect();
        let Some(last) = parts.pop() else { return };
        let mut at = top;
        for part in parts {
            at = match self.entries_mut(at).get(part) {
                Some(&next) => next,
                None => {
                    let made = self.add(Node::Directory(BTreeMap::new()));
                    self.entries_mut(at).insert(part.to_owned(), made);
                    made
                }
            };
        }
        self.entries_mut(at).insert(last.to_owned(), node);
    }

    /// The paths that a snapshot was asked for.
    pub(super) fn snapshot_paths(&self, name: &str) -> Modelled<&Vec<String>> {
        self.snapshots.get(name).ok_or(NOT_FOUND)
    }

    /// The snapshot `to` is what the snapshot `name` is.
    pub(super) fn receive(&mut self, name: &str, parent: Option<&str>, to: &str) -> Modelled<()> {
        let paths = self.snapshot_paths(name)?.clone();
        parent.map_or(Ok(()), |parent| self.snapshot_paths(parent).map(drop))?;
        if self.snapshots.contains_key(to) {
            return Err(EXISTS);
        }
        let source = self.lookup(&format!("{SNAPSHOTS}/{name}"))?;
        let copy = self.copy_tree(source, true, &mut BTreeMap::new());
        self.graft(self.root, &format!("{SNAPSHOTS}/{to}"), copy);
        self.snapshots.insert(to.to_owned(), paths);
        Ok(())
    }

    pub(super) fn delete_snapshot(&mut self, name: &str) -> Modelled<()> {
        self.snapshots.remove(name).ok_or(NOT_FOUND)?;
        let directory = self.lookup(SNAPSHOTS)?;
        if let Some(tree) = self.entries_mut(directory).remove(name) {
            self.drop_tree(tree);
        }
        Ok(())
    }

    pub(super) fn rollback(&mut self, name: &str, force: bool) -> Modelled<()> {
        let paths = self.snapshots.get(name).ok_or(NOT_FOUND)?.clone();
        let paths = if paths.is_empty() { vec!["/".to_owned()] } else { paths };
        let replaced = self.nodes_under(&paths);
        if !force && self.handles.values().any(|handle| replaced.contains(&handle.node)) {
            let no_way = paths.iter().any(|path| self.parent_may_be_made(path).is_err());
            return Err(if no_way { BUSY_OR_NO_DIRECTORY } else { BUSY });
        }
        for path in &paths {
            self.parent_may_be_made(path)?;
        }
        for path in &paths {
            let snapshot = self.lookup(&format!("{SNAPSHOTS}/{name}{}", path.trim_end_matches('/')))?;
            if path == "/" {
                self.replace_root(snapshot);
            } else {
                if let Ok(old) = self.lookup(path) {
                    self.drop_tree(old);
                }
                let copy = self.copy_tree(snapshot, false, &mut BTreeMap::new());
                self.graft(self.root, path, copy);
            }
        }
        // A file that has a name elsewhere lives on.
        let nodes = &self.nodes;
        let nameless = |id| matches!(&nodes[&id], Node::File(file) if file.links == 0);
        for handle in self.handles.values_mut() {
            handle.stale |= replaced.contains(&handle.node) && nameless(handle.node);
        }
        Ok(())
    }

    /// Refuses a path that leads through a file. Missing directories on the way are made anew.
    fn parent_may_be_made(&self, path: &str) -> Modelled<()> {
        let above = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        match self.lookup(above) {
            Ok(id) if self.file(id).is_some() => Err(NOT_A_DIRECTORY),
            Err(refusal) if refusal == NOT_A_DIRECTORY => Err(refusal),
            _ => Ok(()),
        }
    }

    fn nodes_under(&self, paths: &[String]) -> Vec<NodeId> {
        let mut found = Vec::new();
        for path in paths {
            let Ok(top) = self.lookup(path) else { continue };
            found.push(top);
            self.walk(top, path.trim_end_matches('/'), &mut |path, id| {
                if !is_within(path, SNAPSHOTS) {
                    found.push(id);
                }
            });
        }
        found
    }

    fn replace_root(&mut self, snapshot: NodeId) {
        let kept = self.snapshot_directory();
        let children: Vec<NodeId> = self.names(self.root).into_iter().map(|(_, child)| child).collect();
        children.into_iter().filter(|&child| Some(child) != kept).for_each(|child| self.drop_tree(child));
        let copy = self.copy_tree(snapshot, false, &mut BTreeMap::new());
        let mut names = match self.nodes.remove(&copy) {
            Some(Node::Directory(names)) => names,
            other => panic!("a snapshot of the pool is a directory, not {other:?}"),
        };
        names.extend(kept.map(|directory| (SNAPSHOTS[1..].to_owned(), directory)));
        *self.entries_mut(self.root) = names;
    }
}
