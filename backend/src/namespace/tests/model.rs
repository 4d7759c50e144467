//! Random operations against a model: a map from paths to what they name.

use std::collections::BTreeMap;

use super::*;
use crate::error::Result;

/// What the model knows of a path: a directory, or which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Directory,
    File(u64),
}

#[derive(Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    files: u64,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

type Refusal = std::result::Result<(), ErrorKind>;

impl Model {
    fn get(&self, path: &str) -> Option<Node> {
        if path.is_empty() { Some(Node::Directory) } else { self.nodes.get(path).copied() }
    }

    /// That the directory of `path` exists.
    fn above(&self, path: &str) -> Refusal {
        let mut above = parent(path);
        let mut missing = true;
        loop {
            match self.get(above) {
                Some(Node::Directory) if missing && above == parent(path) => return Ok(()),
                Some(Node::Directory) => return Err(ErrorKind::NotFound),
                Some(Node::File(_)) => return Err(ErrorKind::NotADirectory),
                None => missing = false,
            }
            above = parent(above);
        }
    }

    fn has_children(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.nodes.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
    }

    fn create(&mut self, path: &str, directory: bool) -> Refusal {
        self.above(path)?;
        if self.get(path).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        self.files += 1;
        let node = if directory { Node::Directory } else { Node::File(self.files) };
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    fn link(&mut self, existing: &str, new: &str) -> Refusal {
        self.above(existing)?;
        let file = match self.get(existing).ok_or(ErrorKind::NotFound)? {
            Node::Directory => return Err(ErrorKind::IsADirectory),
            file => file,
        };
        self.above(new)?;
        if self.get(new).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        self.nodes.insert(new.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, path: &str, directory: bool) -> Refusal {
        self.above(path)?;
        match (self.get(path).ok_or(ErrorKind::NotFound)?, directory) {
            (Node::Directory, false) => Err(ErrorKind::IsADirectory),
            (Node::File(_), true) => Err(ErrorKind::NotADirectory),
            (Node::Directory, true) if self.has_children(path) => Err(ErrorKind::DirectoryNotEmpty),
            _ => {
                self.nodes.remove(path);
                Ok(())
            }
        }
    }

    fn remove_all(&mut self, path: &str) -> Refusal {
        self.above(path)?;
        self.get(path).ok_or(ErrorKind::NotFound)?;
        let prefix = format!("{path}/");
        self.nodes.retain(|name, _| name != path && !name.starts_with(&prefix));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Refusal {
        self.above(from)?;
        let moved = self.get(from).ok_or(ErrorKind::NotFound)?;
        self.above(to)?;
        if to.starts_with(&format!("{from}/")) {
            return Err(ErrorKind::InvalidInput);
        }
        match (moved, self.get(to)) {
            _ if from == to => return Ok(()),
            (Node::File(a), Some(Node::File(b))) if a == b => return Ok(()),
            (Node::Directory, Some(Node::File(_))) => return Err(ErrorKind::NotADirectory),
            (Node::File(_), Some(Node::Directory)) => return Err(ErrorKind::IsADirectory),
            (_, Some(Node::Directory)) if self.has_children(to) => return Err(ErrorKind::DirectoryNotEmpty),
            _ => {}
        }
        let prefix = format!("{from}/");
        let below: Vec<String> =
            self.nodes.keys().filter(|name| *name == from || name.starts_with(&prefix)).cloned().collect();
        for name in below {
            let Some(node) = self.nodes.remove(&name) else { continue };
            self.nodes.insert(format!("{to}{}", &name[from.len()..]), node);
        }
        Ok(())
    }
}

/// A path of a small set, so that operations meet.
fn any_path(random: &mut Random) -> String {
    let depth = 1 + random.below(3);
    let names: Vec<String> = (0..depth)
        .map(|level| {
            let name = format!("n{}", random.below(6 + 40 * u64::from(level + 1 == depth)));
            // Some names are long, so that buckets fill up.
            if random.below(4) == 0 { name.repeat(40) } else { name }
        })
        .collect();
    names.join("/")
}

fn apply(core: &Core, model: &mut Model, random: &mut Random) -> (String, Result<()>, Refusal) {
    let (a, b) = (any_path(random), any_path(random));
    let namespace = || core.namespace().unwrap();
    match random.below(20) {
        0..8 => {
            let answer = namespace().create_file(p(&a), true).map(drop);
            (format!("create {a}"), answer, model.create(&a, false))
        }
        8..11 => (format!("mkdir {a}"), namespace().create_dir(p(&a)).map(drop), model.create(&a, true)),
        11..13 => (format!("link {a} {b}"), namespace().hard_link(p(&a), p(&b)), model.link(&a, &b)),
        13..15 => (format!("remove {a}"), namespace().remove_file(p(&a)), model.remove(&a, false)),
        15..16 => (format!("rmdir {a}"), namespace().remove_dir(p(&a)), model.remove(&a, true)),
        16..17 if random.below(8) == 0 => {
            (format!("remove all {a}"), core.remove_dir_all(p(&a)), model.remove_all(&a))
        }
        _ => (format!("rename {a} {b}"), namespace().rename(p(&a), p(&b)), model.rename(&a, &b)),
    }
}

/// That the pool holds the model's names and no others, and as many inodes.
fn compare(pool: &TestPool, model: &Model) {
    let mut found = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        for entry in resolve::read_dir(&pool.core.store, p(&directory)).unwrap() {
            let name = String::from_utf8(entry.name).unwrap();
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if path == ".snapshots" {
                continue;
            }
            let is_directory = entry.kind == crate::format::inode::Kind::Directory;
            if is_directory {
                waiting.push(path.clone());
            }
            found.push((path, is_directory, entry.inode.0));
        }
    }
    found.sort();
    let expected: Vec<_> =
        model.nodes.iter().map(|(path, node)| (path.clone(), *node == Node::Directory)).collect();
    assert_eq!(found.iter().map(|(path, is, _)| (path.clone(), *is)).collect::<Vec<_>>(), expected);
    let mut inodes = BTreeMap::<u64, (Node, u32)>::new();
    for (path, _, inode) in &found {
        let node = model.nodes[path];
        let known = inodes.entry(*inode).or_insert((node, 0));
        assert!(known.1 == 0 || (known.0 == node && node != Node::Directory), "{path}");
        known.1 += 1;
    }
    for (path, _, inode) in &found {
        assert_eq!(links(&pool.core, path), inodes[inode].1, "links of {path}");
    }
    assert_eq!(pool.inodes_used(), inodes.len() as u64 + 2);
}

#[test]
fn random_operations_do_what_the_model_does() {
    let given = std::env::var("DAXCOW_SEED").ok().and_then(|seed| seed.parse().ok());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    let seed: u64 = given.unwrap_or(u64::from(clock)).max(1);
    println!("replay: DAXCOW_SEED={seed} cargo test -p daxcow random_operations_do_what_the_model_does");
    let mut random = Random(seed);
    let mut pool = pool();
    let mut model = Model::default();
    let mut done = [0, 0];
    for step in 0..6_000 {
        let (what, answer, expected) = apply(&pool.core, &mut model, &mut random);
        let answer = answer.map_err(|error| error.kind());
        assert_eq!(answer, expected, "step {step}: {what}");
        done[usize::from(expected.is_ok())] += 1;
        if step % 500 == 499 {
            compare(&pool, &model);
            pool = pool.reopen();
        }
    }
    compare(&pool, &model);
    assert!(done[0] > 500 && done[1] > 500, "{done:?} operations were refused and done");
}
