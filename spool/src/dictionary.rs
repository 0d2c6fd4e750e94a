//! Which dictionaries the frames at a place of the log name.

use model::{RecordType, Sequence};

use crate::Spool;
use crate::error::SpoolError;
use crate::read::load;
use crate::scan::{Step, Walk};
use crate::segment::SEGMENT_HEADER_BYTES;

impl Spool {
    /// Bodies of the DICT records that frames from `from` on may name and that are not among these frames before they are
    /// named: all in its segment, each once, in their order. (A segment may begin with records that waited while it was
    /// made, and its preamble after them.) Without those that damage took.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when the segment cannot be read.
    pub fn dictionaries_at(&self, from: Sequence) -> Result<Vec<Vec<u8>>, SpoolError> {
        let above = self.segments.partition_point(|segment| segment.first <= from);
        let index = above.saturating_sub(1);
        let Some(segment) = self.segments.get(index) else { return Ok(Vec::new()) };
        let name = segment.name();
        let file = self.disk.open(&name).map_err(SpoolError::io(format!("opening `{name}`")))?;
        let bytes = load(file.as_ref(), segment.bytes)
            .map_err(SpoolError::io(format!("reading `{name}`")))?;
        let mut walk = Walk {
            bytes: &bytes,
            offset: SEGMENT_HEADER_BYTES,
            expected: segment.first,
            salt: segment.salt,
            last: Some(self.last_of(index)),
        };
        let mut found: Vec<Vec<u8>> = Vec::new();
        while let Some(step) = walk.step() {
            let Step::Frame(frame) = step else { continue };
            let is_dictionary = frame.header.record_type == RecordType::Dictionary;
            if is_dictionary && !found.iter().any(|known| known == frame.body) {
                found.push(frame.body.to_vec());
            }
        }
        Ok(found)
    }
}
