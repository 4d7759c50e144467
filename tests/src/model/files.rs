//! The model's operations on open files, batches and locks.

use daxcow::units::BLOCK_SIZE;

use super::{
    BUSY, EXISTS, FileNode, Handle, IN_SNAPSHOT, INVALID, IS_A_DIRECTORY, Model, Modelled, NO_WRITE_ACCESS,
    Node, READ_ONLY, SNAPSHOTS, STALE, is_within,
};
use crate::content::Content;
use crate::op::{Member, OpenHow, Slot, Span};

impl Model {
    pub(super) fn open(&mut self, slot: Slot, member: Member, path: &str, how: OpenHow) -> Modelled<()> {
        let node = match self.lookup(path) {
            Ok(_) if how.create_new && is_within(path, SNAPSHOTS) => return Err(IN_SNAPSHOT),
            Ok(_) if how.create_new => return Err(EXISTS),
            Ok(node) => node,
            Err(_) if how.create || how.create_new => self.create_file(path)?,
            Err(refusal) => return Err(refusal),
        };
        let Some(file) = self.file(node) else { return Err(IS_A_DIRECTORY) };
        if file.frozen && how.write {
            return Err(READ_ONLY);
        }
        if how.truncate {
            if self.batch_owner(node).is_some() {
                return Err(BUSY);
            }
            self.file_mut(node).content.set_len(0);
        }
        let handle = Handle { node, member, writable: how.write, stale: false, batch: None, dirty: false };
        self.handles.insert(slot, handle);
        Ok(())
    }

    pub(super) fn open_unnamed(&mut self, slot: Slot, member: Member) {
        let node = self.add(Node::File(FileNode::default()));
        let handle = Handle { node, member, writable: true, stale: false, batch: None, dirty: false };
        self.handles.insert(slot, handle);
    }

    pub(super) fn another_handle(&mut self, slot: Slot, of: Slot) {
        let handle = Handle { batch: None, dirty: false, ..self.handles[&of].clone() };
        self.handles.insert(slot, handle);
    }

    pub(super) fn close(&mut self, slot: Slot) {
        if let Some(handle) = self.handles.remove(&slot) {
            self.file_mut(handle.node).locks.retain(|&(_, owner), _| owner != slot);
        }
    }

    /// The slot that has a batch open on a file.
    fn batch_owner(&self, node: super::NodeId) -> Option<Slot> {
        let mut holders =
            self.handles.iter().filter(|(_, handle)| handle.node == node && handle.batch.is_some());
        holders.next().map(|(&slot, _)| slot)
    }

    /// The contents behind a slot, for a change outside any batch.
    pub(super) fn change(&mut self, slot: Slot) -> Modelled<&mut Content> {
        let handle = &self.handles[&slot];
        let node = handle.node;
        if !handle.writable {
            return Err(NO_WRITE_ACCESS);
        }
        if handle.stale {
            return Err(STALE);
        }
        match self.batch_owner(node) {
            Some(owner) if owner != slot => Err(BUSY),
            _ => Ok(&mut self.file_mut(node).content),
        }
    }

    /// The published contents behind a slot.
    pub(super) fn published(&self, slot: Slot) -> &Content {
        self.content(slot).unwrap_or_else(|| panic!("slot {slot} holds no file"))
    }

    pub(super) fn clone_range(
        &mut self,
        target: Slot,
        source: Slot,
        source_offset: u64,
        span: Span,
    ) -> Modelled<()> {
        let from = self.published(source).clone();
        let same_file = self.handles[&target].node == self.handles[&source].node;
        let into = self.change(target)?;
        let aligned = |offset: u64| offset.is_multiple_of(BLOCK_SIZE);
        let source_end = source_offset + span.len;
        let ends_file = source_end == from.len() && span.offset + span.len >= into.len();
        let overlap = source_offset < span.offset + span.len && span.offset < source_end;
        if !aligned(source_offset)
            || !aligned(span.offset)
            || !(aligned(span.len) || ends_file)
            || source_end > from.len()
            || (same_file && overlap)
            || span.len == 0
        {
            return Err(INVALID);
        }
        into.clone_range(&from, source_offset, span.offset, span.len);
        Ok(())
    }

    pub(super) fn dedupe_range(
        &mut self,
        target: Slot,
        source: Slot,
        source_offset: u64,
        span: Span,
    ) -> Modelled<bool> {
        let from = self.published(source).clone();
        let same_file = self.handles[&target].node == self.handles[&source].node;
        let into = self.change(target)?;
        let aligned = |offset: u64| offset.is_multiple_of(BLOCK_SIZE);
        let (source_end, end) = (source_offset + span.len, span.offset + span.len);
        if !aligned(source_offset)
            || !aligned(span.offset)
            || !(aligned(span.len) || (source_end == from.len() && end == into.len()))
            || source_end > from.len()
            || end > into.len()
            || (same_file && source_offset < end && span.offset < source_end)
        {
            return Err(INVALID);
        }
        Ok(into.dedupe(&from, source_offset, span.offset, span.len))
    }

    pub(super) fn replace_contents(&mut self, target: Slot, with: Slot) -> Modelled<()> {
        let replacement = self.published(with).clone();
        if self.handles[&target].node == self.handles[&with].node && self.handles[&target].writable {
            return Ok(());
        }
        *self.change(target)? = replacement;
        Ok(())
    }

    pub(super) fn batch_open(&mut self, slot: Slot) -> Modelled<()> {
        let content = self.change(slot)?.clone();
        self.batch_slot(slot).replace(content);
        self.mark_batch(slot, false);
        Ok(())
    }

    fn batch_slot(&mut self, slot: Slot) -> &mut Option<Content> {
        match self.handles.get_mut(&slot) {
            Some(handle) => &mut handle.batch,
            None => panic!("slot {slot} holds no file"),
        }
    }

    /// Notes whether a batch has changes.
    pub(super) fn mark_batch(&mut self, slot: Slot, dirty: bool) {
        if let Some(handle) = self.handles.get_mut(&slot) {
            handle.dirty = dirty;
        }
    }

    /// What the batch of a slot shows.
    pub(crate) fn batch_mut(&mut self, slot: Slot) -> &mut Content {
        match self.batch_slot(slot) {
            Some(content) => content,
            None => panic!("slot {slot} has no batch"),
        }
    }

    pub(super) fn batch_commit(&mut self, slots: &[Slot]) -> Modelled<()> {
        if slots.iter().any(|slot| self.handles[slot].stale) {
            return Err(STALE);
        }
        for &slot in slots {
            let content = self.batch_mut(slot).clone();
            *self.change(slot)? = content;
            self.mark_batch(slot, false);
        }
        Ok(())
    }

    pub(super) fn batch_discard(&mut self, slot: Slot) {
        let content = self.published(slot).clone();
        *self.batch_mut(slot) = content;
        self.mark_batch(slot, false);
    }

    pub(super) fn batch_close(&mut self, slot: Slot) {
        *self.batch_slot(slot) = None;
    }

    pub(super) fn lock(&mut self, slot: Slot, index: u8, exclusive: bool) -> Modelled<bool> {
        let handle = &self.handles[&slot];
        if handle.stale {
            return Err(STALE);
        }
        let locks = &mut self.file_mut(handle.node).locks;
        let conflict = locks.iter().any(|(&(lock, owner), &held_exclusively)| {
            lock == index && owner != slot && (exclusive || held_exclusively)
        });
        if !conflict {
            locks.insert((index, slot), exclusive);
        }
        Ok(!conflict)
    }

    pub(super) fn unlock(&mut self, slot: Slot, index: u8) {
        let node = self.handles[&slot].node;
        self.file_mut(node).locks.remove(&(index, slot));
    }
}
