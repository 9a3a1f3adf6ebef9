//! A shared library as the loader will see it: program headers and the dynamic section, never section
//! headers, which a loader ignores and which may therefore say anything.
//!
//! Reads only what it is asked for, so that a library of hundreds of megabytes costs a few pages.

use std::collections::BTreeMap;

use object::elf::{self, FileHeader64, ProgramHeader64, Sym64};
use object::endian::LittleEndian;
use object::read::elf::{
    Dyn as _, FileHeader as _, GnuHashTable, HashTable, NoteIterator, ProgramHeader as _, Sym as _,
};
use object::read::{ReadRef, StringTable};

use super::Refusal;

type Header = FileHeader64<LittleEndian>;
type Segment = ProgramHeader64<LittleEndian>;

const LE: LittleEndian = LittleEndian;

/// Program headers, at most. Real libraries have about a dozen; notes of each are walked.
const SEGMENTS_MAX: usize = 64;
/// Bytes of one segment of notes, at most.
const NOTES_BYTES_MAX: u64 = 1 << 20;
/// Entries of the dynamic section, at most.
const DYNAMIC_ENTRIES_MAX: usize = 4096;
/// Symbol versions that are required, at most.
const VERSIONS_MAX: usize = 4096;
/// Bytes of a needed library's name or of a symbol version's, at most.
const NAME_BYTES_MAX: usize = 256;

/// How loading will treat stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stack {
    Plain,
    Executable,
    /// No `PT_GNU_STACK`, which glibc takes for "executable".
    Unsaid,
}

/// A library's headers, found consistent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image<'d, R: ReadRef<'d>> {
    data: R,
    header: &'d Header,
    segments: &'d [Segment],
}

/// What the dynamic section says.
#[derive(Debug)]
pub(super) struct Dynamic<'d, R: ReadRef<'d>> {
    image: Image<'d, R>,
    entries: Vec<(elf::DynamicTag, u64)>,
    strings: StringTable<'d, R>,
}

fn malformed<T>(what: &'static str) -> impl FnOnce(T) -> Refusal {
    move |_| Refusal::Malformed(what)
}

impl<'d, R: ReadRef<'d>> Image<'d, R> {
    /// Reads the headers of a 64-bit little-endian shared library.
    pub(super) fn parse(data: R) -> Result<Self, Refusal> {
        check_ident(data)?;
        let header = Header::parse(data).map_err(malformed("an incomplete ELF header"))?;
        match header.e_type(LE) {
            elf::ET_DYN => {}
            elf::ET_EXEC => return Err(Refusal::Type("an executable".into())),
            elf::ET_REL => return Err(Refusal::Type("an object file".into())),
            other => return Err(Refusal::Type(format!("ELF type {}", other.0))),
        }
        if usize::from(header.e_phnum(LE)) > SEGMENTS_MAX {
            return Err(Refusal::Malformed("more than 64 program headers"));
        }
        let segments = header
            .program_headers(LE, data)
            .map_err(malformed("program headers outside the file"))?;
        Ok(Self {
            data,
            header,
            segments,
        })
    }

    /// The processor it was compiled for.
    pub(super) fn machine(&self) -> elf::Machine {
        self.header.e_machine(LE)
    }

    /// The descriptors of all notes of this owner and type.
    pub(super) fn notes(&self, owner: &str, kind: u32) -> Result<Vec<&'d [u8]>, Refusal> {
        // By place, because two segments may cover one note.
        let mut found = BTreeMap::new();
        for segment in self.of_type(elf::PT_NOTE) {
            let (offset, size) = segment.file_range(LE);
            if size > NOTES_BYTES_MAX {
                return Err(Refusal::Malformed("more than 1 MiB of notes"));
            }
            let bytes = self
                .data
                .read_bytes_at(offset, size)
                .map_err(malformed("notes outside the file"))?;
            let mut notes = NoteIterator::<Header>::new(LE, segment.p_align.get(LE), bytes)
                .map_err(malformed("notes of an unknown alignment"))?;
            while let Some(note) = notes.next().map_err(malformed("a note that is cut off"))? {
                if note.name() == owner.as_bytes() && note.n_type(LE).0 == kind {
                    let place = note.desc().as_ptr().addr() - bytes.as_ptr().addr();
                    found.insert(offset + place as u64, note.desc());
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// What `PT_GNU_STACK` says.
    pub(super) fn stack(&self) -> Stack {
        match self.of_type(elf::PT_GNU_STACK).next() {
            None => Stack::Unsaid,
            Some(segment) if segment.p_flags(LE).0 & elf::PF_X.0 != 0 => Stack::Executable,
            Some(_) => Stack::Plain,
        }
    }

    /// Whether a segment is both writable and executable.
    pub(super) fn has_writable_code(&self) -> bool {
        let both = elf::PF_W.0 | elf::PF_X.0;
        self.of_type(elf::PT_LOAD)
            .any(|segment| segment.p_flags(LE).0 & both == both)
    }

    /// The dynamic section.
    pub(super) fn dynamic(self) -> Result<Dynamic<'d, R>, Refusal> {
        let segment = self
            .of_type(elf::PT_DYNAMIC)
            .next()
            .ok_or(Refusal::Malformed("no dynamic section"))?;
        let (offset, size) = segment.file_range(LE);
        if size > (DYNAMIC_ENTRIES_MAX * size_of::<elf::Dyn64<LittleEndian>>()) as u64 {
            return Err(Refusal::Malformed("more than 4096 dynamic entries"));
        }
        let count = size / size_of::<elf::Dyn64<LittleEndian>>() as u64;
        let table: &[elf::Dyn64<LittleEndian>] = usize::try_from(count)
            .map_err(drop)
            .and_then(|count| self.data.read_slice_at(offset, count))
            .map_err(malformed("a dynamic section outside the file"))?;
        let entries: Vec<_> = table
            .iter()
            .map(|entry| (entry.tag(LE), entry.val(LE)))
            .take_while(|(tag, _)| *tag != elf::DT_NULL)
            .collect();
        Dynamic::new(self, entries)
    }

    fn of_type(&self, kind: elf::ProgramType) -> impl Iterator<Item = &'d Segment> + use<'d, R> {
        self.segments
            .iter()
            .filter(move |segment| segment.p_type(LE) == kind)
    }

    /// Where an address lies in the file, and how many bytes of its segment follow there.
    fn locate(&self, address: u64) -> Result<(u64, u64), Refusal> {
        self.of_type(elf::PT_LOAD)
            .find_map(|segment| {
                let into = address.checked_sub(segment.p_vaddr.get(LE))?;
                let (offset, size) = segment.file_range(LE);
                let rest = size.checked_sub(into).filter(|rest| *rest > 0)?;
                Some((offset.checked_add(into)?, rest))
            })
            .ok_or(Refusal::Malformed("an address outside its segments"))
    }

    /// The bytes from an address to the end of its segment.
    fn bytes_from(&self, address: u64) -> Result<&'d [u8], Refusal> {
        let (offset, rest) = self.locate(address)?;
        self.data
            .read_bytes_at(offset, rest)
            .map_err(malformed("a segment outside the file"))
    }
}

fn check_ident<'d, R: ReadRef<'d>>(data: R) -> Result<(), Refusal> {
    let length = data.len().map_err(malformed("no length"))?;
    let Ok(ident) = data.read_bytes_at(0, 16.min(length)) else {
        return Err(Refusal::Malformed("an incomplete ELF header"));
    };
    match ident {
        [0x7f, b'E', b'L', b'F', class, order, ..] => match (*class, *order) {
            (2, 1) => Ok(()),
            (1, _) => Err(Refusal::Class("a 32-bit one")),
            (2, 2) => Err(Refusal::Class("a big-endian one")),
            _ => Err(Refusal::Class("an unknown class")),
        },
        [] => Err(Refusal::NotElf("an empty file".into())),
        [b'P', b'K', ..] => Err(Refusal::NotElf("a zip archive".into())),
        [b'M', b'Z', ..] => Err(Refusal::NotElf("a Windows library".into())),
        [0xcf, 0xfa, 0xed, 0xfe, ..] => Err(Refusal::NotElf("a macOS library".into())),
        [b'!', b'<', b'a', b'r', ..] => Err(Refusal::NotElf("a static library".into())),
        other => {
            let first: Vec<_> = other.iter().take(4).map(|b| format!("{b:02x}")).collect();
            let found = format!("a file that begins with {}", first.join(" "));
            Err(Refusal::NotElf(found))
        }
    }
}

impl<'d, R: ReadRef<'d>> Dynamic<'d, R> {
    fn new(image: Image<'d, R>, entries: Vec<(elf::DynamicTag, u64)>) -> Result<Self, Refusal> {
        let mut dynamic = Self {
            image,
            entries,
            strings: StringTable::default(),
        };
        let (Some(address), Some(size)) =
            (dynamic.first(elf::DT_STRTAB), dynamic.first(elf::DT_STRSZ))
        else {
            return Err(Refusal::Malformed("a dynamic section without strings"));
        };
        let (offset, rest) = image.locate(address)?;
        if size > rest {
            return Err(Refusal::Malformed("strings outside their segment"));
        }
        dynamic.strings = StringTable::new(image.data, offset, offset + size);
        Ok(dynamic)
    }

    fn first(&self, tag: elf::DynamicTag) -> Option<u64> {
        self.all(tag).next()
    }

    fn all(&self, tag: elf::DynamicTag) -> impl Iterator<Item = u64> {
        self.entries
            .iter()
            .filter(move |(other, _)| *other == tag)
            .map(|(_, value)| *value)
    }

    fn string(&self, offset: u64) -> Result<&'d [u8], Refusal> {
        u32::try_from(offset)
            .map_err(drop)
            .and_then(|offset| self.strings.get(offset))
            .ok()
            .filter(|string| string.len() <= NAME_BYTES_MAX)
            .ok_or(Refusal::Malformed("a name outside the strings"))
    }

    /// Every library that loading this one loads too, whatever tag asks for it.
    pub(super) fn needed(&self) -> Result<Vec<&'d [u8]>, Refusal> {
        [
            elf::DT_NEEDED,
            elf::DT_AUXILIARY,
            elf::DT_FILTER,
            elf::DT_AUDIT,
            elf::DT_DEPAUDIT,
        ]
        .into_iter()
        .flat_map(|tag| self.all(tag))
        .map(|offset| self.string(offset))
        .collect()
    }

    /// Its own search path for libraries.
    pub(super) fn run_path(&self) -> Result<Option<&'d [u8]>, Refusal> {
        self.first(elf::DT_RUNPATH)
            .or_else(|| self.first(elf::DT_RPATH))
            .map(|offset| self.string(offset))
            .transpose()
    }

    /// Whether relocations write to code.
    pub(super) fn has_text_relocations(&self) -> bool {
        self.first(elf::DT_TEXTREL).is_some() || self.flag(elf::DT_FLAGS, elf::DF_TEXTREL.0)
    }

    /// Whether it is a program in the form of a library.
    pub(super) fn is_program(&self) -> bool {
        self.flag(elf::DT_FLAGS_1, elf::DF_1_PIE.0)
    }

    fn flag(&self, tag: elf::DynamicTag, bit: u64) -> bool {
        self.all(tag).any(|flags| flags & bit != 0)
    }

    /// The symbol versions that it requires of other libraries.
    pub(super) fn required_versions(&self) -> Result<Vec<&'d [u8]>, Refusal> {
        const CUT: &str = "symbol versions that are cut off";
        let Some(address) = self.first(elf::DT_VERNEED) else {
            return Ok(Vec::new());
        };
        let (start, rest) = self.image.locate(address)?;
        let end = start + rest.min(u64::MAX - start);
        let data = self.image.data;
        let mut names = Vec::new();
        let mut at = start;
        loop {
            let library = data
                .read_at::<elf::Verneed<LittleEndian>>(at)
                .map_err(malformed(CUT))?;
            let mut version_at = at.saturating_add(library.vn_aux.get(LE).into());
            for _ in 0..library.vn_cnt.get(LE) {
                if names.len() == VERSIONS_MAX || version_at >= end {
                    return Err(Refusal::Malformed(CUT));
                }
                let version = data
                    .read_at::<elf::Vernaux<LittleEndian>>(version_at)
                    .map_err(malformed(CUT))?;
                names.push(self.string(version.vna_name.get(LE).into())?);
                version_at = version_at.saturating_add(version.vna_next.get(LE).into());
            }
            match library.vn_next.get(LE) {
                0 => return Ok(names),
                next => at = at.saturating_add(next.into()),
            }
            if at >= end {
                return Err(Refusal::Malformed(CUT));
            }
        }
    }

    /// The symbol of this name among those that others can bind to.
    pub(super) fn exported(&self, name: &str) -> Result<Option<&'d Sym64<LittleEndian>>, Refusal> {
        let Some(address) = self.first(elf::DT_SYMTAB) else {
            return Ok(None);
        };
        let (offset, rest) = self.image.locate(address)?;
        let fits = rest / size_of::<Sym64<LittleEndian>>() as u64;
        let count = u64::from(self.symbol_count()?).min(fits);
        let symbols: &[Sym64<LittleEndian>] = usize::try_from(count)
            .map_err(drop)
            .and_then(|count| self.image.data.read_slice_at(offset, count))
            .map_err(malformed("symbols outside the file"))?;
        let exported = symbols.iter().find(|symbol| {
            let binding = symbol.st_bind();
            let open = binding == elf::STB_GLOBAL || binding == elf::STB_WEAK;
            let visibility = symbol.st_visibility();
            let visible = visibility == elf::STV_DEFAULT || visibility == elf::STV_PROTECTED;
            open && visible
                && symbol.st_shndx(LE) != elf::SHN_UNDEF
                && symbol.name(LE, self.strings) == Ok(name.as_bytes())
        });
        Ok(exported)
    }

    /// Only the hash table says how many symbols there are.
    fn symbol_count(&self) -> Result<u32, Refusal> {
        if let Some(address) = self.first(elf::DT_GNU_HASH) {
            let table = GnuHashTable::<Header>::parse(LE, self.image.bytes_from(address)?)
                .map_err(malformed("a broken GNU hash table"))?;
            return Ok(table.symbol_table_length(LE).unwrap_or(0));
        }
        if let Some(address) = self.first(elf::DT_HASH) {
            let table = HashTable::<Header>::parse(LE, self.image.bytes_from(address)?)
                .map_err(malformed("a broken hash table"))?;
            return Ok(table.symbol_table_length());
        }
        Ok(0)
    }
}
