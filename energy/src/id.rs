//! Names of a plant's subjects, kinds, meters and products, so that none is taken for another. Must never know what they
//! name.

use std::fmt;

use model::PointId;
use model::id::{IdError, check_id};
use serde::Serialize;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it as a name.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// What a figure is about: the enterprise, a site, a line, equipment.
    SubjectId check_id;
    /// An energy kind of the plant: 原煤, 电力, …
    #[doc(alias = "carrier")]
    KindId check_id;
    /// A product.
    ProductId check_id;
    /// A meter; its point's id unless the plant file names it otherwise.
    MeterId check_meter_id;
}

fn check_meter_id(text: &str) -> Result<(), IdError> {
    PointId::new(text).map(|_| ())
}
