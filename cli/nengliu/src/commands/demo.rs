//! `nengliu demo`.

use crate::cli::DemoArgs;

pub(crate) async fn demo(_args: DemoArgs) -> u8 {
    1
}
