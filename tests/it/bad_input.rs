//! What a person is told about wrong input: tables of configurations, profiles, plant files, facts, bytes and devices that
//! are wrong in one way each, with the exact words. Must never expect a message that says neither where nor what next.

mod bytes;
mod centre;
mod check_command;
mod devices;
mod facts;
mod figures;
mod gateway_toml;
mod output;
mod plant_toml;
mod profiles;
mod told;
mod uplink;
