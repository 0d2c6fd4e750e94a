//! Which dictionary stands at which frame, across changes, segments and restarts.

use super::*;

fn texts(spool: &Spool, from: u64) -> Vec<String> {
    let bodies = spool.dictionaries_at(Sequence(from)).unwrap();
    bodies.into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
}

fn change(spool: &mut Spool, dictionary: &str) -> u64 {
    let draft = record(RecordType::Dictionary, dictionary);
    let at = spool.append(draft.clone()).unwrap();
    spool.set_preamble(vec![draft]).unwrap();
    spool.commit().unwrap();
    at.0
}

#[test]
fn the_dictionary_in_use_is_found_in_the_segment_of_each_frame() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 16).unwrap();
    assert_eq!(texts(&spool, 1), [""; 0]);
    let mut in_use = vec![(change(&mut spool, "a"), "a")];
    for number in 0..90 {
        spool.append(data(number, 5_000)).unwrap();
        if number % 7 == 0 {
            spool.commit().unwrap();
        }
        match number {
            20 => in_use.push((change(&mut spool, "b"), "b")),
            // Twice in one segment.
            44 => in_use.push((change(&mut spool, "c"), "c")),
            46 => in_use.push((change(&mut spool, "d"), "d")),
            _ => {}
        }
    }
    let durable = spool.commit().unwrap();
    assert!(spool.status().segments > 5);
    let check = |spool: &Spool| {
        for from in 2..=durable.0 {
            let expected = in_use.iter().rev().find(|(at, _)| *at < from).map(|(_, text)| *text);
            let found = texts(spool, from);
            assert!(
                expected.is_none_or(|text| found.iter().any(|f| f == text)),
                "at {from}: {found:?}"
            );
        }
        // No more than its segment needs.
        assert_eq!(texts(spool, durable.0), ["d"]);
    };
    check(&spool);
    // A restart knows only what the newest segment says.
    drop(spool);
    let (spool, recovery) = open(&disk, 16).unwrap();
    assert_eq!(recovery.dictionaries, [b"d"]);
    check(&spool);
}

/// A gateway with many points has many dictionaries in use at once.
#[test]
fn all_dictionaries_in_use_are_found_wherever_delivery_goes_on() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 16).unwrap();
    let drafts: Vec<_> =
        ["a", "b", "c"].map(|text| record(RecordType::Dictionary, text)).into_iter().collect();
    spool.set_preamble(drafts.clone()).unwrap();
    for draft in drafts {
        spool.append(draft).unwrap();
    }
    for number in 0..60 {
        spool.append(data(number, 5_000)).unwrap();
        if number % 7 == 0 {
            spool.commit().unwrap();
        }
    }
    let durable = spool.commit().unwrap();
    assert!(spool.status().segments > 3);
    for from in 1..=durable.0 {
        assert_eq!(texts(&spool, from), ["a", "b", "c"], "at {from}");
    }
}
