//! Conversion of quantities into tonnes of coal equivalent on either basis. Must never choose a coefficient by itself.

mod converter;
mod plan;
mod used;

use serde::Serialize;

use crate::coefficient::{Basis, words};

pub(crate) use converter::{Conversion, Converter};
pub use used::{CoefficientUse, HeatUse, KindCoefficient, PartUse};

words! {
    /// Which bases are asked for.
    BasisChoice {
        /// 当量值 alone.
        Equivalent "equivalent",
        /// 等价值 alone.
        EqualValue "equal_value",
        /// Both.
        Both "both",
    }
}

impl BasisChoice {
    /// The bases.
    #[must_use]
    pub const fn bases(self) -> &'static [Basis] {
        match self {
            Self::Equivalent => &[Basis::Equivalent],
            Self::EqualValue => &[Basis::EqualValue],
            Self::Both => &[Basis::Equivalent, Basis::EqualValue],
        }
    }
}

/// One thing per basis that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PerBasis<T> {
    /// 当量值.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equivalent: Option<T>,
    /// 等价值.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equal_value: Option<T>,
}

impl<T> PerBasis<T> {
    /// Makes one per basis asked for.
    pub(crate) fn of(choice: BasisChoice, mut make: impl FnMut(Basis) -> T) -> Self {
        let mut one = |basis| choice.bases().contains(&basis).then(|| make(basis));
        Self { equivalent: one(Basis::Equivalent), equal_value: one(Basis::EqualValue) }
    }

    /// The one of a basis, if it was asked for.
    #[must_use]
    pub fn get(&self, basis: Basis) -> Option<&T> {
        match basis {
            Basis::Equivalent => self.equivalent.as_ref(),
            Basis::EqualValue => self.equal_value.as_ref(),
        }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.equivalent.iter_mut().chain(&mut self.equal_value)
    }

    /// All that there are.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.equivalent.iter().chain(&self.equal_value)
    }
}
