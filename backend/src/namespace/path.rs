//! Paths inside a pool: components between slashes, from the pool's root whether they begin with a slash or not.
//!
//! A component is any bytes but `/` and NUL, at most 255 of them. `.` is ignored, `..` takes the component before it
//! away (at the root there is none to take). A path without components is the root directory.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::dirent::NAME_MAX;

/// The names on the way from the root to what `path` names.
///
/// # Errors
/// [`ErrorKind::NameTooLong`] for a component of more than 255 bytes, [`ErrorKind::InvalidInput`] for a NUL.
pub(crate) fn components(path: &Path) -> Result<Vec<&[u8]>> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&0) {
        return Err(Error::new(ErrorKind::InvalidInput, "a name cannot hold the byte 0").at(path));
    }
    let mut components = Vec::with_capacity(8);
    for component in bytes.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop();
            }
            name if name.len() > NAME_MAX => {
                let message = format!("a name of {} bytes, at most {NAME_MAX} are allowed", name.len());
                return Err(Error::new(ErrorKind::NameTooLong, message).at(path));
            }
            name => components.push(name),
        }
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn parsed(path: &[u8]) -> Result<Vec<&[u8]>> {
        components(Path::new(OsStr::from_bytes(path)))
    }

    #[test]
    fn dots_and_slashes_say_nothing_and_two_dots_go_up() {
        let cases: [(&[u8], &[&[u8]]); 8] = [
            (b"", &[]),
            (b"/", &[]),
            (b"a/b", &[b"a", b"b"]),
            (b"//a/./b//", &[b"a", b"b"]),
            (b"a/../b", &[b"b"]),
            (b"../../a", &[b"a"]),
            (b"a/..", &[]),
            (b"\xff\n/...", &[b"\xff\n", b"..."]),
        ];
        for (path, expected) in cases {
            assert_eq!(parsed(path).unwrap(), expected, "{path:?}");
        }
    }

    #[test]
    fn the_longest_name_passes_and_the_next_one_does_not() {
        assert_eq!(parsed(&[b'x'; 255]).unwrap().len(), 1);
        assert_eq!(parsed(&[b'x'; 256]).unwrap_err().kind(), ErrorKind::NameTooLong);
        assert_eq!(parsed(b"a\0b").unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
