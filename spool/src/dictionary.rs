//! Which dictionary the frames at a place of the log name. Must never read what it says.

use model::{RecordType, Sequence};

use crate::Spool;
use crate::error::SpoolError;
use crate::read::load;
use crate::scan::{Step, Walk};
use crate::segment::SEGMENT_HEADER_BYTES;

impl Spool {
    /// Body of the DICT record that is in use where frames go on from `from`: the last one before it in its segment.
    /// A segment may begin with records that waited while it was made, and its preamble after them; there it is the
    /// first one. `None` where damage took it. Those that follow are among the frames themselves.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when the segment cannot be read.
    pub fn dictionary_at(&self, from: Sequence) -> Result<Option<Vec<u8>>, SpoolError> {
        let above = self.segments.partition_point(|segment| segment.first <= from);
        let index = above.saturating_sub(1);
        let Some(segment) = self.segments.get(index) else { return Ok(None) };
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
        let mut found = None;
        while let Some(step) = walk.step() {
            let Step::Frame(frame) = step else { continue };
            let is_before = frame.header.sequence < from;
            if !is_before && found.is_some() {
                break;
            }
            if frame.header.record_type == RecordType::Dictionary {
                found = Some(frame.body.to_vec());
            }
        }
        Ok(found)
    }
}
