//! Messages that come in parts, because a gateway's broker takes only short ones. One at a time for each gateway, in
//! order; what does not fit together is dropped and comes again.

use std::collections::BTreeMap;

use model::GatewayId;
use model::wire::{MESSAGE_BYTES_MAX, Part};

use super::DropReason;

/// Most bytes of messages of which parts are missing, of all gateways together.
pub(super) const PARTS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most such messages.
pub(super) const PARTIALS_MAX: usize = 1_024;

#[derive(Debug)]
struct Partial {
    number: u32,
    count: u16,
    /// The part that must come next.
    next: u16,
    bytes: Vec<u8>,
}

/// The messages of which parts are missing.
#[derive(Debug, Default)]
pub(super) struct Parts {
    partials: BTreeMap<GatewayId, Partial>,
    bytes: usize,
}

impl Parts {
    /// Takes a part; gives the message back when it is whole.
    pub(super) fn take(
        &mut self,
        gateway: &GatewayId,
        part: &Part<'_>,
    ) -> Result<Option<Vec<u8>>, DropReason> {
        let mut partial = match self.forget(gateway) {
            _ if part.index == 0 => {
                Partial { number: part.number, count: part.count, next: 0, bytes: Vec::new() }
            }
            Some(known) => known,
            None => return Err(DropReason::Hole),
        };
        let follows = (partial.number, partial.count, partial.next);
        if follows != (part.number, part.count, part.index) {
            return Err(DropReason::Hole);
        }
        let bytes = partial.bytes.len() + part.piece.len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(DropReason::Refused);
        }
        partial.bytes.extend_from_slice(part.piece);
        partial.next += 1;
        if partial.next == partial.count {
            return Ok(Some(partial.bytes));
        }
        if self.bytes + bytes > PARTS_BYTES_MAX || self.partials.len() >= PARTIALS_MAX {
            return Err(DropReason::Bound);
        }
        self.bytes += bytes;
        self.partials.insert(gateway.clone(), partial);
        Ok(None)
    }

    fn forget(&mut self, gateway: &GatewayId) -> Option<Partial> {
        let partial = self.partials.remove(gateway)?;
        self.bytes -= partial.bytes.len();
        Some(partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str) -> GatewayId {
        GatewayId::new(name).unwrap()
    }

    fn part(number: u32, index: u16, count: u16, piece: &[u8]) -> Part<'_> {
        Part { number, index, count, piece }
    }

    #[test]
    fn parts_in_order_are_a_message() {
        let (mut parts, g) = (Parts::default(), gateway("g"));
        assert_eq!(parts.take(&g, &part(1, 0, 3, b"ab")), Ok(None));
        assert_eq!(parts.take(&gateway("h"), &part(1, 0, 2, b"x")), Ok(None));
        assert_eq!(parts.take(&g, &part(1, 1, 3, b"c")), Ok(None));
        assert_eq!(parts.take(&g, &part(1, 2, 3, b"d")), Ok(Some(b"abcd".to_vec())));
        assert_eq!(parts.bytes, 1);
        assert_eq!(parts.take(&g, &part(2, 0, 1, b"whole")), Ok(Some(b"whole".to_vec())));
    }

    /// A lost part, another order, parts of two messages: dropped, and a new message begins cleanly.
    #[test]
    fn parts_that_do_not_fit_are_dropped() {
        let (mut parts, g) = (Parts::default(), gateway("g"));
        let hole = Err(DropReason::Hole);
        assert_eq!(parts.take(&g, &part(1, 1, 3, b"a")), hole);
        for wrong in [part(1, 2, 3, b"c"), part(2, 1, 3, b"c"), part(1, 1, 4, b"c")] {
            assert_eq!(parts.take(&g, &part(1, 0, 3, b"a")), Ok(None));
            assert_eq!(parts.take(&g, &wrong), hole);
            assert_eq!((parts.bytes, parts.partials.len()), (0, 0));
        }
        assert_eq!(parts.take(&g, &part(1, 0, 3, b"a")), Ok(None));
        assert_eq!(parts.take(&g, &part(2, 0, 2, b"x")), Ok(None));
        assert_eq!(parts.take(&g, &part(2, 1, 2, b"y")), Ok(Some(b"xy".to_vec())));
    }

    /// INV-6.
    #[test]
    fn what_is_held_is_bounded() {
        let mut parts = Parts::default();
        let piece = vec![0; 1024 * 1024];
        let mut refused = 0;
        for number in 0..100 {
            let g = gateway(&format!("g{number}"));
            refused +=
                usize::from(parts.take(&g, &part(1, 0, 3, &piece)) == Err(DropReason::Bound));
        }
        assert!(refused > 60 && parts.bytes <= PARTS_BYTES_MAX, "{refused}");
        let (mut parts, g) = (Parts::default(), gateway("g0"));
        assert_eq!(parts.take(&g, &part(1, 0, 3, &piece)), Ok(None));
        assert_eq!(parts.take(&g, &part(1, 1, 3, &piece)), Ok(None));
        let too_long = parts.take(&g, &part(1, 2, 3, &[0]));
        assert_eq!(too_long, Err(DropReason::Refused), "longer than any message");
        let mut parts = Parts::default();
        for number in 0..2 * PARTIALS_MAX {
            drop(parts.take(&gateway(&format!("g{number}")), &part(1, 0, 2, b"x")));
        }
        assert_eq!(parts.partials.len(), PARTIALS_MAX);
    }
}
