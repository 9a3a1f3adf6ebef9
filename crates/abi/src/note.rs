//! The ELF note by which a library says what it is before anything of it runs: JSON in the
//! descriptor of one note. It is a declaration, to be held against the table that the loaded library
//! gives; it proves nothing.

/// The note's owner, without the closing zero that ELF counts in.
pub const OWNER: &str = "GANTRY";

/// The note's type.
pub const TYPE: u32 = 1;

/// The section that holds it. Allocated, so that stripping leaves it in place.
pub const SECTION: &str = ".note.gantry";

/// A note as it lies in the file. `N` is the descriptor's length rounded up to four.
#[derive(Debug)]
#[repr(C, align(4))]
pub struct Note<const N: usize> {
    name_len: u32,
    descriptor_len: u32,
    kind: u32,
    name: [u8; 8],
    descriptor: [u8; N],
}

impl<const N: usize> Note<N> {
    /// A note whose descriptor is the concatenation of all pieces of all groups.
    ///
    /// # Panics
    /// If `N` is not [`padded_len`] of the same groups; in a constant that is a compile error.
    pub const fn new(groups: &[&[&str]]) -> Self {
        assert!(
            N == padded_len(groups),
            "N is the padded length of the pieces"
        );
        let mut descriptor = [0; N];
        let mut at = 0;
        let mut group = 0;
        while group < groups.len() {
            let mut piece = 0;
            while piece < groups[group].len() {
                let bytes = groups[group][piece].as_bytes();
                let mut i = 0;
                while i < bytes.len() {
                    descriptor[at] = bytes[i];
                    at += 1;
                    i += 1;
                }
                piece += 1;
            }
            group += 1;
        }
        assert!(at <= 64 << 10, "a note holds at most 64 KiB");
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most 64 KiB, asserted above"
        )]
        let descriptor_len = at as u32;
        Self {
            name_len: 7,
            descriptor_len,
            kind: TYPE,
            name: *b"GANTRY\0\0",
            descriptor,
        }
    }

    /// The descriptor without padding.
    pub fn descriptor(&self) -> &[u8] {
        &self.descriptor[..self.descriptor_len as usize]
    }
}

/// Length of all pieces, rounded up to the alignment of notes.
pub const fn padded_len(groups: &[&[&str]]) -> usize {
    let mut len = 0;
    let mut group = 0;
    while group < groups.len() {
        let mut piece = 0;
        while piece < groups[group].len() {
            len += groups[group][piece].len();
            piece += 1;
        }
        group += 1;
    }
    len.next_multiple_of(4)
}

/// Whether a text can stand between quotes in JSON as it is.
pub const fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] < 0x20 || bytes[i] == b'"' || bytes[i] == b'\\' {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_joins_its_pieces_and_pads() {
        const PIECES: &[&[&str]] = &[&["{\"a\":", "1"], &[], &["}"]];
        static NOTE: Note<{ padded_len(PIECES) }> = Note::new(PIECES);
        assert_eq!(NOTE.descriptor(), b"{\"a\":1}");
        assert_eq!(size_of_val(&NOTE), 12 + 8 + 8);
    }

    #[test]
    fn text_that_json_would_escape_is_not_plain() {
        assert!(is_plain("gantry 1.0 é"));
        assert!(!is_plain("a\"b") && !is_plain("a\\b") && !is_plain("a\nb"));
    }
}
