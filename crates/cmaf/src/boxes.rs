//! The container layer: boxes around boxes, written with their size patched in, read with every
//! length checked.

use mp4_atom::Encode;

use crate::Error;

/// Bytes of a box header with a 32-bit size.
pub(crate) const HEADER_BYTES: usize = 8;

/// Appends a box of `kind` whose body is what `body` writes.
pub(crate) fn container(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out)?;
    let size = out.len() - start;
    let size = u32::try_from(size).map_err(|_| Error::Range {
        what: "box size",
        value: size as i64,
    })?;
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&size.to_be_bytes());
    }
    Ok(())
}

/// Appends a leaf box.
pub(crate) fn leaf(out: &mut Vec<u8>, atom: &impl Encode) -> Result<(), Error> {
    atom.encode(out).map_err(Error::Write)
}

/// One box of a parsed container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child<'a> {
    /// FourCC.
    pub kind: [u8; 4],
    /// Header and body.
    pub whole: &'a [u8],
    /// Body alone.
    pub body: &'a [u8],
}

impl Child<'_> {
    /// Decodes the whole box with a typed decoder.
    pub fn decode<T: mp4_atom::Decode>(&self) -> Result<T, Error> {
        T::decode(&mut &self.whole[..]).map_err(|e| Error::damaged(&self.kind, e))
    }
}

/// Walks the boxes in `bytes`; ends at the first that does not fit.
#[derive(Clone, Debug)]
pub(crate) struct Children<'a> {
    rest: &'a [u8],
}

/// The boxes in `bytes`.
pub(crate) fn children(bytes: &[u8]) -> Children<'_> {
    Children { rest: bytes }
}

impl<'a> Children<'a> {
    /// The first box of `kind`.
    pub fn find(mut self, kind: &[u8; 4]) -> Option<Child<'a>> {
        Iterator::find(&mut self, |child| child.kind == *kind)
    }

    /// The first box of `kind`, which `parent` must have.
    pub fn require(self, parent: &'static str, kind: &'static str) -> Result<Child<'a>, Error> {
        let missing = Error::Missing {
            parent,
            missing: kind,
        };
        let Ok(kind) = <&[u8; 4]>::try_from(kind.as_bytes()) else {
            return Err(missing);
        };
        self.find(kind).ok_or(missing)
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Child<'a>;

    fn next(&mut self) -> Option<Child<'a>> {
        let (kind, size, header) = header(self.rest)?;
        let (whole, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(Child {
            kind,
            whole,
            body: whole.get(header..)?,
        })
    }
}

/// MediaKind, whole size and header size of the box at the start of `bytes`; `None` while the
/// header is incomplete or where it is impossible (size below its own header, or "to the end of the
/// file", which we never write).
pub(crate) fn header(bytes: &[u8]) -> Option<([u8; 4], usize, usize)> {
    let size = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let kind = bytes.get(4..8)?.try_into().ok()?;
    let (size, header) = match size {
        1 => {
            let large = u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?);
            (usize::try_from(large).ok()?, 16)
        }
        size => (size as usize, HEADER_BYTES),
    };
    (size >= header).then_some((kind, size, header))
}
