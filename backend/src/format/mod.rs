//! The on-media format, version 1: where everything lies and how every structure is encoded. No I/O here.
//!
//! ```text
//!        0        2 MiB             6 MiB     7 MiB     8 MiB
//!        +---------+-----------------+---------+---------+---------------------+---------------------+--
//!        | super   | lanes:          | runtime | member  | group 0: 2 GiB      | group 1: 2 GiB      |
//!        | blocks, | 256 slots       | header  | slots,  | first 2 MiB: counts | ...                 |
//!        | table   | of 4 lanes      |         | 256     | then blocks         |                     |
//!        | inode   | of 4 KiB        |         | of 4 KiB|                     |                     |
//!        +---------+-----------------+---------+---------+---------------------+---------------------+--
//! ```
//!
//! All numbers are little-endian. Every durable word that one publish may change carries its own check bits
//! ([`word`]); every structure that is written once carries a CRC-32C.

pub(crate) mod dirent;
pub(crate) mod entry;
pub(crate) mod inode;
pub(crate) mod lane;
pub(crate) mod layout;
pub(crate) mod stream;
pub(crate) mod superblock;
pub(crate) mod word;
