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
    "schneider/pm5300"
}
