//! The profiles that come with the program, one line each. Must never know what is in them.

macro_rules! profiles {
    ($($id:literal)*) => {
        /// Id and text of each profile, sorted by id.
        pub(crate) const PROFILES: &[(&str, &str)] =
            &[$(($id, include_str!(concat!("../", $id, ".toml"))),)*];
    };
}

profiles! {
    "acrel/adl400"
    "eastron/sdm630"
    "nengliu/boiler"
    "nengliu/cnc"
    "nengliu/compressor"
    "nengliu/furnace"
    "nengliu/opcua-electricity"
    "nengliu/opcua-gas"
    "nengliu/opcua-steam"
    "nengliu/opcua-water"
    "nengliu/water-meter"
    "schneider/pm5300"
}
