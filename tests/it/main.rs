//! Every end-to-end test is a module here, so that there is one binary to link. Must never look inside our programs.

#![expect(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and a panic shows the output of its processes"
)]

mod bad_input;
mod coefficient_files;
mod commissioning;
mod damaged_lake;
mod delivery;
mod figures_from_files;
mod first_steps;
mod flows;
mod health;
mod hostile_peers;
mod independent_figures;
mod kills;
mod lake_page;
mod lake_readers;
mod live_topics;
mod modbus_meters;
mod mqtt_contract;
mod noisy_meter;
mod peers_alone;
mod planted;
mod planted_centre;
mod polled;
mod readme;
mod rescued;
mod steel_year;
mod survival;
mod trials_on_lake;
mod typed_files;
mod whole_line;
