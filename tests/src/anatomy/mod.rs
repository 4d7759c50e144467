//! The structures in a pool's bytes, found without the backend: what tests damage, and where it lies.
//!
//! | module | what |
//! |---|---|
//! | [`image`] | the bytes |
//! | [`words`] | checksums and packed words |
//! | [`parts`] | every structure of a pool and where it lies |
//! | [`write`] | changing a structure so that its checksum fits again |
//! | [`stream`] | the stream of a snapshot |
//!
//! All of it follows docs/format.md and shares no code with the backend.

pub mod image;
pub mod parts;
pub mod stream;
pub mod words;
pub mod write;

pub use image::Image;
pub use parts::{Anatomy, DirectoryEntry, Inode, Node};
