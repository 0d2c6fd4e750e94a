//! Which dictionary stands at which frame, across changes, segments and restarts.

use super::*;

fn text(spool: &Spool, from: u64) -> Option<String> {
    let body = spool.dictionary_at(Sequence(from)).unwrap();
    body.map(|body| String::from_utf8(body).unwrap())
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
    assert_eq!(text(&spool, 1), None);
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
            assert_eq!(text(spool, from).as_deref(), expected, "at {from}");
        }
    };
    check(&spool);
    // A restart knows only what the newest segment says.
    drop(spool);
    let (spool, recovery) = open(&disk, 16).unwrap();
    assert_eq!(recovery.dictionaries, [b"d"]);
    check(&spool);
}
