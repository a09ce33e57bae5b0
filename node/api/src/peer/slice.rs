//! Pieces of a blob that prove themselves against its BLAKE3 hash (the Bao encoding), cut and checked.

use super::BlobHash;
use std::io::{self, Read, Seek};

/// The most content in one piece, in bytes.
pub const PIECE_BYTES_MAX: u32 = 1 << 20;

/// The most bytes a piece with its proof takes: the length header, 64 bytes of tree for each KiB, and the path to the root.
pub const SLICE_BYTES_MAX: u32 = PIECE_BYTES_MAX + PIECE_BYTES_MAX / 16 + 16 * 1024;

/// Why a piece was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SliceError {
    /// The bytes do not belong to this hash at this place, or end early.
    #[error("the piece does not match the blob's hash")]
    Mismatch,
}

/// A piece whose bytes have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The size of the whole blob in bytes, as the encoding states it. It is proven once the last piece is.
    pub total: u64,
    /// The content from the offset asked for: as long as asked, or up to the end.
    pub content: Vec<u8>,
}

/// Cuts `length` bytes from `offset` out of `content` with the proof from its outboard tree. Both are read from their start.
///
/// # Errors
/// What reading either of them gives.
pub fn extract(
    mut content: impl Read + Seek,
    mut outboard: impl Read + Seek,
    offset: u64,
    length: u32,
) -> io::Result<Vec<u8>> {
    content.rewind()?;
    outboard.rewind()?;
    // Parents are 64 bytes each and lie in reading order, so buffering saves two thousand calls for each piece.
    let content = io::BufReader::with_capacity(64 * 1024, content);
    let outboard = io::BufReader::with_capacity(64 * 1024, outboard);
    let mut slice = Vec::with_capacity(length as usize + length as usize / 16 + 1024);
    bao::encode::SliceExtractor::new_outboard(content, outboard, offset, u64::from(length))
        .read_to_end(&mut slice)?;
    Ok(slice)
}

/// Checks a piece against the blob's hash before any byte of it is given out.
///
/// # Errors
/// [`SliceError::Mismatch`] when a byte, the length or the place differs from what the hash commits to.
pub fn verify(hash: &BlobHash, slice: &[u8], offset: u64, length: u32) -> Result<Piece, SliceError> {
    let header: [u8; 8] =
        slice.get(..8).and_then(|header| header.try_into().ok()).ok_or(SliceError::Mismatch)?;
    let total = u64::from_le_bytes(header);
    let expected = total.saturating_sub(offset).min(u64::from(length));
    let mut content = Vec::new();
    let mut decoder =
        bao::decode::SliceDecoder::new(slice, &bao::Hash::from(*hash), offset, u64::from(length));
    decoder.read_to_end(&mut content).map_err(|_| SliceError::Mismatch)?;
    let rest = decoder.into_inner();
    if content.len() as u64 != expected || !rest.is_empty() {
        return Err(SliceError::Mismatch);
    }
    Ok(Piece { total, content })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index % 251) as u8).collect()
    }

    fn cut(content: &[u8], offset: u64, length: u32) -> (BlobHash, Vec<u8>) {
        let (outboard, hash) = bao::encode::outboard(content);
        assert_eq!(hash.as_bytes(), blake3::hash(content).as_bytes());
        let slice = extract(Cursor::new(content), Cursor::new(outboard), offset, length).unwrap();
        (*hash.as_bytes(), slice)
    }

    #[test]
    fn every_piece_of_every_size_proves_itself() {
        for size in [0usize, 1, 1023, 1024, 1025, 4096, 70_000, 1 << 20, (3 << 20) + 17] {
            let content = content(size);
            for offset in [0u64, 1024, 1 << 20, size as u64] {
                if offset > size as u64 {
                    continue;
                }
                let (hash, slice) = cut(&content, offset, PIECE_BYTES_MAX);
                assert!(slice.len() <= SLICE_BYTES_MAX as usize, "{size} at {offset}: {}", slice.len());
                let piece = verify(&hash, &slice, offset, PIECE_BYTES_MAX).unwrap();
                let end = (offset as usize + PIECE_BYTES_MAX as usize).min(size);
                assert_eq!(piece.total, size as u64);
                assert_eq!(piece.content, content[offset as usize..end]);
            }
        }
    }

    #[test]
    fn a_changed_moved_cut_or_padded_piece_is_refused() {
        let content = content(300_000);
        let (hash, slice) = cut(&content, 0, 65_536);
        let verdict = |slice: &[u8], offset| verify(&hash, slice, offset, 65_536).is_ok();
        assert!(verdict(&slice, 0));
        for place in (8..slice.len()).step_by(997) {
            let mut changed = slice.clone();
            changed[place] ^= 1;
            assert!(!verdict(&changed, 0), "byte {place}");
        }
        assert!(!verdict(&slice, 65_536), "moved");
        assert!(!verdict(&slice[..slice.len() - 1], 0), "cut");
        assert!(!verdict(&[slice.as_slice(), &[0]].concat(), 0), "padded");
        assert!(!verdict(&[], 0), "nothing");
        // The last piece proves the length: a larger or smaller total no longer fits it.
        let (hash, last) = cut(&content, 262_144, 65_536);
        for total in [299_999u64, 300_001, u64::MAX, 0] {
            let mut lying = last.clone();
            lying[..8].copy_from_slice(&total.to_le_bytes());
            assert!(verify(&hash, &lying, 262_144, 65_536).is_err(), "total {total}");
        }
    }
}
