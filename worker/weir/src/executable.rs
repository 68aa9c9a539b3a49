//! Whether two processes run the same executable.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use weir_types::KeyHasher;

/// The file that this process runs, even if another one has been put in its place since.
const SELF: &str = "/proc/self/exe";

/// A block's length is a multiple of the hasher's word.
const BLOCK_BYTES: usize = 1 << 20;

/// A text that is equal for equal executables: a hash over all bytes. It takes some milliseconds
/// per 10 MB, so a process that has no peers does without.
pub(crate) fn hash() -> io::Result<String> {
    let path = Path::new(SELF);
    let own = if path.exists() {
        path.to_owned()
    } else {
        std::env::current_exe()?
    };
    hash_file(&own)
}

fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = KeyHasher::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let filled = fill(&mut file, &mut block)?;
        hasher.write_bytes(&block[..filled]);
        if filled < block.len() {
            return Ok(format!("{:016x}", hasher.finish()));
        }
    }
}

/// Reads until the block is full or the file has ended, so that the blocks, and with them the
/// hash, do not depend on how the bytes came.
fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_byte_gives_another_hash() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let mut bytes = vec![7; BLOCK_BYTES + 3];
        let hash_of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            hash_file(&path).expect("read")
        };
        let before = hash_of(&bytes);
        assert_eq!(hash_of(&bytes), before);
        bytes[BLOCK_BYTES + 1] = 8;
        assert_ne!(hash_of(&bytes), before);
    }
}
