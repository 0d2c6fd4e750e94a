//! What a sample costs in a frame, on the plant that the benchmark uses.

use model::{Timestamp, codec, frame};

#[path = "../../benches/codec/plant.rs"]
mod plant;

use plant::{Floats, POINTS, Plant};

const BATCHES: usize = 20;

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn check(seconds: usize, floats: Floats, bytes_per_sample_max: f64) {
    let mut plant = Plant::new(1, floats);
    let (mut bytes, mut samples) = (0, 0);
    for _ in 0..BATCHES {
        let batch = plant.batch(seconds);
        assert_eq!(batch.samples.len(), seconds * POINTS);
        let body = codec::encode(&batch).unwrap();
        assert_eq!(codec::decode(&body).unwrap(), batch);
        bytes += frame::frame_bytes(body.len());
        samples += batch.samples.len();
    }
    let found = bytes as f64 / samples as f64;
    assert!(found <= bytes_per_sample_max, "{samples} samples: {found} bytes per sample");
}

#[test]
fn a_sample_costs_no_more_than_promised() {
    check(1, Floats::Resolved, 4.0);
    check(10, Floats::Resolved, 1.0);
    check(60, Floats::Resolved, 0.6);
    check(10, Floats::Raw, 1.5);
}

#[test]
fn the_plant_is_one_that_a_store_admits() {
    let batch = Plant::new(2, Floats::Resolved).batch(600);
    assert!(batch.samples.iter().all(|sample| sample.source_time.is_storable()));
    assert!(batch.samples.iter().any(|sample| sample.quality.is_bad()));
    let range = Timestamp(1_735_689_600_000_000)..Timestamp(1_735_690_200_000_000);
    assert!(batch.samples.iter().all(|sample| range.contains(&sample.source_time)));
}
